"""Several benchmarks in one verdict: all of them without a correction, some of them with one."""

import json

import numpy as np
import pytest

from parity.cli import main
from parity.core.gaps import Verdict
from parity.measurement.ledger import Claim, Purse
from parity.measurement.suites import compare_suite
from parity.store import Workspace


@pytest.fixture
def folder(tmp_path):
    """Benchmarks whose items say which of two models is right, as recorded answers."""
    chance = np.random.default_rng(3)

    def make(name, count, only_ours, only_theirs):
        rows = [{"id": f"{name}{n}", "question": f"{n}?", "options": ["x", "y"], "answer": "A"} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nitems = "{name}.jsonl"\nmark = "letter"\n')
        kinds = chance.permutation(
            ["ours"] * only_ours + ["theirs"] * only_theirs + ["both"] * (count - only_ours - only_theirs)
        )
        for model, lost in (("ours", "theirs"), ("theirs", "ours")):
            table = "".join(f"{name}{n},{'B' if kind == lost else 'A'}\n" for n, kind in enumerate(kinds))
            path = tmp_path / f"{model}.csv"
            path.write_text((path.read_text() if path.exists() else "item,answer\n") + table)
        return name

    for name, only_ours, only_theirs in (("level", 30, 30), ("close", 20, 28), ("behind", 5, 95), ("torn", 60, 70)):
        make(name, 1000, only_ours, only_theirs)
    models = [f"replay:{tmp_path}/{model}.csv" for model in ("ours", "theirs")]
    for name in ("level", "close", "behind", "torn"):
        told = ["-b", str(tmp_path / f"{name}.toml"), "--workspace", str(tmp_path / "w"), "--json"]
        assert main(["measure", models[0], "--against", models[1], *told]) == 0
    return tmp_path, models


def suite(folder, benchmarks, margin=0.03, capsys=None):
    path, models = folder
    workspace = Workspace(path / "w")
    try:
        return compare_suite(workspace, tuple(models), benchmarks, Claim(margin, 0.05), Purse(workspace))
    finally:
        workspace.close()


def test_all_must_show_it_and_nothing_is_corrected(folder, capsys):
    capsys.readouterr()
    assert suite(folder, ["level"]).verdict is Verdict.NON_INFERIOR
    found = suite(folder, ["level", "close"])
    assert (found.verdict, found.alpha) == (Verdict.NON_INFERIOR, 0.025)
    assert [part.alone.gap.alpha for part in found.parts] == [0.025, 0.025]
    assert found.gap.look.question.endswith("on close + level")
    assert suite(folder, ["level", "torn"]).verdict is Verdict.INCONCLUSIVE
    every = suite(folder, ["all"])
    assert [part.benchmark for part in every.parts] == ["behind", "close", "level", "torn"]
    assert every.verdict is Verdict.INFERIOR


def test_one_that_is_inferior_spoils_the_suite_and_is_named(folder, capsys):
    path, models = folder
    capsys.readouterr()
    told = ["--margin", "0.03", "--workspace", str(path / "w"), "-b", "level", "-b", "behind", "-b", "torn"]
    assert main(["gap", *models, *told, "--json"]) == 10
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "INFERIOR"
    assert {part["benchmark"]: part["claim"] for part in found["parts"]} == {
        "level": "NON_INFERIOR", "behind": "INFERIOR", "torn": "INCONCLUSIVE",
    }  # fmt: skip
    level = next(part for part in found["parts"] if part["benchmark"] == "level")
    assert level["holm_p"] == pytest.approx(3 * level["p_value"])
    assert main(["gap", *models, *told]) == 10
    printed = " ".join(capsys.readouterr().out.split())
    assert "Of each, by Holm: NON_INFERIOR: level; INFERIOR: behind; INCONCLUSIVE: torn." in printed
    assert "Look 1 at the question" in printed


def test_what_is_missing_is_said(folder, capsys):
    path, models = folder
    capsys.readouterr()
    told = ["--margin", "0.03", "--workspace", str(path / "w")]
    assert main(["gap", *models, *told, "-b", "leval"]) == 1
    assert "has no finished run of leval" in capsys.readouterr().err
    assert main(["gap", models[0], "replay:their.csv", *told, "-b", "level"]) == 1
    assert f"Known: {models[0]}, {models[1]}" in "".join(capsys.readouterr().err.split("\n"))
    assert main(["gap", *models, *told, "-b", "level", "-b", "level"]) == 2
    assert main(["gap", *models, "-b", "level"]) == 2
    assert "needs --margin" in capsys.readouterr().err
