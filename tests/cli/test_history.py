"""`parity runs`, `parity show`, and gaps between runs, tables and both."""

import json

import pytest

from parity.cli import main

ROWS = [
    {"question": f"Is {n} even?", "options": ["yes", "no"], "answer": "AB"[n % 2], "half": "low" if n < 60 else "high"}
    for n in range(120)
]


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = tmp_path / "even.toml"
    path.write_text('name = "even"\nitems = "items.jsonl"\nmark = "letter"\n[columns]\ntags = ["half"]\n')
    return path


@pytest.fixture
def said(tmp_path, capsys):
    def run(*arguments, code=0, json_=True):
        extra = ["--json"] if json_ else []
        assert main([*map(str, arguments), "--workspace", str(tmp_path / "w"), *extra]) == code
        out = capsys.readouterr()
        return json.loads(out.out) if json_ and code != 1 else out.out + out.err

    return run


def runs_of(said):
    return {run["model"]: run["run"] for run in said("runs")["runs"]}


def test_runs_are_listed_shown_and_compared(bench, said, tmp_path):
    measured = said("measure", "dummy:letter=A", "--against", "dummy:", "-b", bench, "--margin", "0.05")
    runs = runs_of(said)
    assert list(runs) == ["dummy:letter=A", "dummy:"]
    assert "done" in said("runs", json_=False)
    shown = said("show", runs["dummy:letter=A"][:5])
    assert (shown["accuracy"], shown["averages"]) == (0.5, {"half": 0.5})
    assert shown["key"]["template"] == "none"
    page = said("show", runs["dummy:letter=A"], json_=False)
    assert "low" in page
    assert "dummy:letter=A" in page
    gap = said("gap", runs["dummy:letter=A"], runs["dummy:"], "--margin", "0.05")
    before = measured["gaps"][0]
    assert {key: gap[key] for key in ("n", "gap", "low", "verdict")} == {
        key: before[key] for key in ("n", "gap", "low", "verdict")
    }
    assert said("gap", "@2", "@1", "--margin", "0.05") == gap
    assert set(gap["slices"]) == {"half=high", "half=low"}


def test_a_run_against_a_table_of_its_own_scores_is_level(bench, said, tmp_path):
    said("measure", "dummy:", "-b", bench)
    run, table = runs_of(said)["dummy:"], tmp_path / "out" / "scores.csv"
    assert str(table) in said("show", run, "--scores", table, json_=False)
    gap = said("gap", run, table, "--margin", "0.05")
    assert (gap["gap"], gap["flips"], gap["verdict"]) == (0, 0, "NON_INFERIOR")


def test_a_run_can_be_replayed(bench, said, tmp_path):
    before = said("measure", "dummy:", "-b", bench)["models"][0]
    recording = tmp_path / "answers.jsonl"
    said("show", before["run"], "--record", recording)
    again = said("measure", f"replay:{recording}", "-b", bench)["models"][0]
    assert again["accuracy"] == before["accuracy"]
    assert again["unscored"] == {}


def test_runs_that_asked_otherwise_are_not_compared(bench, said):
    said("measure", "dummy:", "-b", bench, "--protocol", "letter")
    said("measure", "dummy:seed=1", "-b", bench, "--protocol", "choice")
    runs = runs_of(said)
    assert "never compared" in said("gap", runs["dummy:"], runs["dummy:seed=1"], code=1)


def test_changed_items_are_found(bench, said, tmp_path):
    said("measure", "dummy:", "-b", bench)
    changed = [{**row, "question": row["question"].upper()} for row in ROWS]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    said("measure", "dummy:seed=1", "-b", bench)
    runs = runs_of(said)
    assert "120 items were asked differently" in said("gap", runs["dummy:"], runs["dummy:seed=1"], code=1)


def test_another_template_is_another_run(bench, said):
    one = said("measure", "dummy:", "-b", bench)["models"][0]["run"]
    other = said("measure", "dummy:", "-b", bench, "--template", "chat")
    assert other["template"] == "chat"
    assert other["models"][0]["run"] != one
    assert said("gap", one, other["models"][0]["run"])["n"] == 120


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "abcd"], "no workspace"),
        (["runs"], "no workspace"),
        (["gap", "abcd", "abce"], "There is no file abcd"),
    ],
)
def test_without_a_workspace(arguments, message, said):
    assert message in " ".join(said(*arguments, code=1).split())


def test_unknown_and_unfinished_runs(bench, said, tmp_path):
    said("measure", "dummy:", "-b", bench)
    assert "No run" in said("show", "ffff", code=1)
    assert "No run" in said("show", "@2", code=1)
    assert "They are kept" in said("measure", "dummy:seed=1", "-b", bench, "--max-tokens", "200", code=1)
    unfinished = runs_of(said)["dummy:seed=1"]
    assert "not finished" in said("show", unfinished, code=1)


def test_a_model_without_any_score_says_why(bench, said):
    message = said("measure", "dummy:context=3", "--against", "dummy:", "-b", bench, code=1)
    assert "none of 120 items has a score" in message
    assert "exceed 3" in message
    assert "--overflow truncate" in message
