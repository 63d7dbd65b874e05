"""Before anything is marked: where answers are equal there is no gap."""

import json

import pytest

from parity.cli import main


@pytest.fixture
def measured(tmp_path, capsys):
    rows = [{"id": f"i{n}", "question": f"{n}?", "options": ["x", "y"], "answer": "A"} for n in range(200)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "some.toml").write_text('name = "some"\nitems = "items.jsonl"\nmark = "letter"\n')
    ours = ["A" if n % 10 else "B" for n in range(200)]
    theirs = ["A\n" if n % 8 else "B  because" for n in range(200)]
    (tmp_path / "table.jsonl").write_text(
        "".join(json.dumps({"item": f"i{n}", "ours": ours[n], "theirs": theirs[n]}) + "\n" for n in range(200))
    )
    models = [f"replay:{tmp_path}/table.jsonl#{name}" for name in ("ours", "theirs")]
    where = ["--workspace", str(tmp_path / "w"), "--json"]
    assert main(["measure", models[0], "--against", models[1], "-b", str(tmp_path / "some.toml"), *where]) == 0
    return json.loads(capsys.readouterr().out), where


def test_the_gap_is_bounded_by_the_share_of_answers_that_differ(measured, capsys):
    found, where = measured
    gap = found["gaps"][0]
    # White space does not count: 20 or 25 items, five of them both: there one says why and the other does not.
    assert gap["differing"] == {"items": 40, "of": 200}
    assert abs(gap["gap"]) <= 40 / 200
    runs = [model["run"] for model in found["models"]]
    assert main(["gap", *runs, *where]) == 0
    assert json.loads(capsys.readouterr().out)["differing"] == gap["differing"]
    assert main(["gap", *runs, *where[:-1]]) == 0
    assert "40 of 200 (so |gap| <= 20.00 points, however marked)" in " ".join(capsys.readouterr().out.split())


def test_scores_from_files_have_no_answers(tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("item,score\n" + "".join(f"i{n},1\n" for n in range(40)))
    assert main(["gap", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differing"] is None
