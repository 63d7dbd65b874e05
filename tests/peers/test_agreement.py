"""Our MMLU choices are lm-evaluation-harness's own: what no test with our own expectations could show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.peers
def test_choices_are_those_of_lm_evaluation_harness() -> None:
    if not (ROOT / ".venv-peers" / "peers.json").exists():
        pytest.skip("no .venv-peers: build it with `make peers`")
    needs_shared("mmlu")
    command = [sys.executable, str(ROOT / "benchmarks_perf" / "agreement.py"), "--quick", "--data", str(SHARED)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["unexplained"] == 0
    assert summary["items"] >= 400
    # A near-tie may fall either way; many of them would mean that the engines differ by more than rounding.
    assert summary["choices_agree"] >= 0.99
    assert summary["max_difference"] < 1e-4


@pytest.mark.peers
def test_prompts_choices_and_marks_are_those_of_lm_evaluation_harness() -> None:
    if not (ROOT / ".venv-peers" / "peers.json").exists():
        pytest.skip("no .venv-peers: build it with `make peers`")
    needs_shared("mc_benchmarks")
    command = [sys.executable, str(ROOT / "benchmarks_perf" / "harness_agreement.py"), "--quick", "--data", str(SHARED)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["prompts_equal"], summary["unexplained"], summary["instructions_agree"]) == (1, 0, 1)
    assert summary["recorded_marks_agree"] >= 0.995
    assert summary["lc_winrate_error_max"] <= 2
