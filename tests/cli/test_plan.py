"""What can be promised, and what is refused."""

import json

import pytest

from parity.cli import main


def planned(capsys, *arguments):
    code = main(["plan", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_hundred_rows_support_no_margin_below_eight_points(capsys):
    code, found = planned(capsys, "--items", "100", "--margin", "0.02", "--flips", "0.1")
    assert (code, found["can_be_had"]) == (11, False)
    assert found["smallest_margin"] == pytest.approx(0.079, abs=0.001)
    code, found = planned(capsys, "--items", "100", "--margin", "0.12", "--flips", "0.2")
    assert (code, found["can_be_had"]) == (0, True)
    assert found["smallest_margin"] == pytest.approx(0.111, abs=0.001)
    assert found["power_all_items"] == pytest.approx(0.85, abs=0.01)


def test_all_items_of_a_benchmark_leave_no_doubt(capsys):
    code, found = planned(capsys, "--items", "100", "--margin", "0.02", "--flips", "0.1", "--estimand", "items")
    assert (code, found["sequential_decided"]) == (0, 1.0)
    assert found["items_one_look"] > 1000


def test_the_sequential_test_takes_what_it_is_known_to_take(capsys):
    _, found = planned(capsys, "--items", "2000", "--margin", "0.03", "--flips", "0.12")
    assert 700 < found["items_sequential_mean"] < 1100
    assert found["items_sequential_mean"] < found["items_sequential_90"] <= 2000
    assert found["items_one_look"] == 825


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--items", "10", "-b", "mmlu", "--margin", "0.1", "--flips", "0.1"], "one benchmark, or for a number"),
        (["--items", "10", "--margin", "2", "--flips", "0.1"], "margin of 2 is not between"),
        (["--items", "10", "--margin", "0.1", "--flips", "0.1", "--gap", "-0.1"], "cannot be shown to be above"),
        (["--items", "0", "--margin", "0.1", "--flips", "0.1"], "0 items"),
        (["dummy:", "--items", "9", "--margin", "0.1", "--flips", "0.1"], "cost of unknown prompts"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message, capsys):
    assert main(["plan", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_items_of_a_published_benchmark_are_known_without_its_files(capsys):
    code, found = planned(capsys, "-b", "arc_challenge", "--margin", "0.02", "--flips", "0.06")
    assert (code, found["items_available"]) == (0, 1172)


def test_cost_is_of_the_items_needed(tmp_path, capsys):
    (tmp_path / "items.jsonl").write_text(
        "".join(
            json.dumps({"question": "word " * 400, "options": ["a", "b"], "answer": "A"}) + "\n" for _ in range(500)
        )
    )
    bench = tmp_path / "long.toml"
    bench.write_text('name = "long"\nitems = "items.jsonl"\nmark = "letter"\n')
    asked = ["openai:gpt-4o", "-b", str(bench), "--margin", "0.1", "--flips", "0.1"]
    _, found = planned(capsys, *asked)
    assert found["usd_an_item"]["openai:gpt-4o"] > 500 * 2.5e-6
    assert main(["plan", *asked]) == 0
    assert "$" in capsys.readouterr().out
