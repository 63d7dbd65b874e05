"""A benchmark that another package brings: installed beside Parity, found by its entry point, asked like any other."""

import json
import os
import subprocess
import sys

import pytest

SOURCE = """
from parity.benchmarks.base import Benchmark, Protocol
from parity.core.items import Item
from parity.core.prompts import Sampling, TextPrompt
from parity.marking import exact

def load(folder, subjects):
    items = tuple(Item(f"sums/{at}", f"{at} + {at} =", (str(2 * at),)) for at in range(5))
    protocol = Protocol(
        "write", "1", lambda item: TextPrompt(item.question), sampling=Sampling(4),
        read=lambda text, item: exact(text, item.targets),
    )
    return Benchmark("sums", "1", items, {"write": protocol}, "write")

def wrong(folder, subjects):
    return []
"""
CHECK = "from parity.benchmarks.catalog import open_benchmark as o; from parity.testing.benchmark_checks import *; "


@pytest.fixture
def site(tmp_path):
    """A folder as pip would leave it after installing the package."""
    folder = tmp_path / "site"
    info = folder / "sums_benchmark-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "sums_benchmark.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sums-benchmark\nVersion: 1.0\n")
    (info / "RECORD").write_text("sums_benchmark.py,,\n")
    points = {"sums": "sums_benchmark:load", "broken": "sums_benchmark:gone", "wrong": "sums_benchmark:wrong"}
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[parity.benchmarks]\n{lines}")
    return folder


def parity(site, *arguments, code=0):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=site.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def test_an_installed_package_brings_a_benchmark(site):
    listed = json.loads(parity(site, "-m", "parity", "benchmarks", "--json").stdout)
    assert "sums" in json.dumps(listed)
    checked = json.loads(parity(site, "-m", "parity", "benchmarks", "check", "sums", "--json").stdout)
    assert (checked["items"], checked["first_prompt"]) == (5, "0 + 0 =")
    parity(site, "-c", CHECK + "run_benchmark_checks(o('sums'))")
    measured = json.loads(parity(site, "-m", "parity", "measure", "dummy:say=4", "-b", "sums", "--json").stdout)
    assert (measured["benchmark"], measured["models"][0]["accuracy"]) == ("sums", 0.2)


def test_what_is_wrong_with_one_names_its_package(site):
    broken = parity(site, "-m", "parity", "benchmarks", "check", "broken", code=1).stderr
    assert "'broken' of sums-benchmark (sums_benchmark:gone) cannot be imported" in broken
    wrong = parity(site, "-m", "parity", "benchmarks", "check", "wrong", code=1).stderr
    assert "gave a list, no Benchmark" in wrong
