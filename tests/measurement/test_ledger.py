"""The ledger: every look at a question is entered once, spends its part of alpha, and is read again for nothing."""

import json

import pytest

from parity.cli import main
from parity.measurement.ledger import family_of


@pytest.fixture
def bench(tmp_path):
    rows = [{"question": f"Is {n} odd?", "options": ["yes", "no"], "answer": "AB"[n % 4 == 0]} for n in range(300)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "odd.toml"
    path.write_text('name = "odd"\nitems = "items.jsonl"\nmark = "letter"\n')
    return str(path)


@pytest.fixture
def ask(bench, tmp_path, capsys):
    def ask(*arguments, against="dummy:letter=B"):
        told = ["--against", against, "-b", bench, "--workspace", str(tmp_path / "w"), "--margin", "0.05", "--json"]
        main(["measure", *arguments, *told])
        return json.loads(capsys.readouterr().out)

    return ask


def ledger(tmp_path, capsys):
    assert main(["ledger", "--workspace", str(tmp_path / "w"), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["questions"]


def test_every_new_run_is_a_look_and_the_same_one_read_again_is_not(ask, tmp_path, capsys):
    gaps = [ask(f"dummy:seed={week}")["gaps"][0] for week in (1, 2, 3)]
    assert [gap["look"]["number"] for gap in gaps] == [1, 2, 3]
    assert [gap["alpha"] for gap in gaps] == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12])
    assert gaps[0]["bound_low"] == pytest.approx(gaps[0]["low"])  # half of .05 is the 95 % interval's
    again = ask("dummy:seed=2")["gaps"][0]
    assert (again["look"]["number"], again["alpha"]) == (2, gaps[1]["alpha"])
    (question,) = ledger(tmp_path, capsys)
    assert question["question"] == "dummy:seed=# against dummy:letter=B on odd"
    assert [look["verdict"] for look in question["looks"]] == [gap["verdict"] for gap in gaps]
    assert question["next_alpha"] == pytest.approx(0.05 / 20)


def test_another_margin_is_the_same_look(ask, tmp_path, capsys):
    runs = [model["run"] for model in ask("dummy:seed=1")["models"]]
    where = ["--workspace", str(tmp_path / "w"), "--json"]
    main(["gap", *runs, "--margin", "0.2", *where])
    found = json.loads(capsys.readouterr().out)
    assert (found["look"]["number"], found["alpha"]) == (1, 0.025)
    main(["gap", *runs, *where])
    assert json.loads(capsys.readouterr().out)["look"] is None
    (question,) = ledger(tmp_path, capsys)
    assert [(look["number"], look["margin"]) for look in question["looks"]] == [(1, 0.05), (1, 0.2)]


def test_what_is_still_needed_is_told_at_the_next_look_s_alpha(ask, tmp_path, capsys):
    first = ask("dummy:seed=1", against="dummy:seed=5")["gaps"][0]
    alone = ask("dummy:seed=1", "--no-ledger", "--alpha", str(0.05 / 6), against="dummy:seed=5")["gaps"][0]
    assert (first["verdict"], first["look"]["number"]) == ("INCONCLUSIVE", 1)
    assert first["items_needed"] == alone["items_needed"] > 0


def test_more_items_of_the_same_candidate_are_a_new_look(ask):
    assert ask("dummy:seed=1", "--max-items", "100")["gaps"][0]["look"]["number"] == 1
    assert ask("dummy:seed=1", "--max-items", "200")["gaps"][0]["look"]["number"] == 2


def test_until_the_verdict_is_in_is_one_look_however_often_it_is_begun(ask, tmp_path, capsys):
    part = ask("dummy:seed=1", "--until-verdict", "--max-items", "60", against="dummy:seed=8")
    whole = ask("dummy:seed=1", "--until-verdict", against="dummy:seed=8")
    looks = [found["gaps"][0]["look"]["number"] for found in (part, whole)]
    assert looks == [1, 1]
    assert whole["items"] > 60
    runs = [model["run"] for model in whole["models"]]
    main(["gap", *runs, "--margin", "0.05", "--workspace", str(tmp_path / "w"), "--json"])
    read = json.loads(capsys.readouterr().out)
    assert read["look"]["number"] == 1
    assert read["interval"] == "confidence sequence, future items like these"
    (question,) = ledger(tmp_path, capsys)
    assert question["looks"][0]["verdict"] == whole["gaps"][0]["verdict"]


def test_each_candidate_of_one_call_is_a_look(ask):
    found = ask("dummy:seed=1", "dummy:seed=2", "--until-verdict", against="dummy:letter=A")
    assert [gap["look"]["number"] for gap in found["gaps"]] == [1, 2]
    assert [gap["alpha"] for gap in found["gaps"]] == pytest.approx([0.05 / 2, 0.05 / 6])


def test_without_the_ledger_the_page_says_so(bench, tmp_path, capsys):
    told = ["--against", "dummy:letter=B", "-b", bench, "--workspace", str(tmp_path / "w"), "--margin", "0.05"]
    main(["measure", "dummy:seed=1", *told, "--no-ledger"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Not entered in a ledger: alpha 0.05 is for one look" in printed
    assert ledger(tmp_path, capsys) == []


def test_files_are_entered_under_a_name_only(tmp_path, capsys):
    for name, step in (("a", 2), ("b", 3), ("c", 4)):
        rows = "".join(f"i{at},{int(at % step == 0)}\n" for at in range(120))
        (tmp_path / f"{name}.csv").write_text("item,score\n" + rows)
    told = ["--margin", "0.05", "--workspace", str(tmp_path / "w"), "--json"]

    def look(*arguments):
        main(["gap", *arguments, *told])
        return json.loads(capsys.readouterr().out)["look"]

    a, b, c = (str(tmp_path / f"{name}.csv") for name in "abc")
    assert look(a, b) is None
    assert not (tmp_path / "w").exists()
    assert look(a, b, "--question", "mine")["number"] == 1
    assert look(c, b, "--question", "mine")["number"] == 2
    assert look(a, b, "--question", "mine")["number"] == 1
    assert main(["ledger", "--workspace", str(tmp_path / "w")]) == 0
    assert "the 3rd, is at 0.00417" in " ".join(capsys.readouterr().out.split())


def test_names_that_differ_in_numbers_are_one_family():
    assert family_of("out/ckpt-500") == family_of("out/ckpt-1000")
    assert family_of("hf:org/mine@abc") == family_of("hf:org/mine")
    assert family_of("out/ours") != family_of("out/theirs")
