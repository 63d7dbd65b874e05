"""`parity gap` from the shell: its JSON, its exit codes, its errors."""

import json
import subprocess
import sys

import pytest

from parity.cli import main

KEYS = ["n", "both", "only_candidate", "only_incumbent", "gap", "low", "high", "alpha", "mcnemar_p", "flips", "verdict"]


@pytest.fixture
def scores(tmp_path):
    def write(name, values):
        path = tmp_path / name
        rows = "".join(f"i{index},{'' if value is None else value}\n" for index, value in enumerate(values))
        path.write_text("item,score\n" + rows)
        return str(path)

    return write


def test_json_holds_the_promised_keys_and_nothing_else_is_printed(scores, capsys):
    a, b = scores("a.csv", [1, 1, 0, 0] * 50), scores("b.csv", [1, 0, 1, 0] * 50)
    assert main(["gap", a, b, "--margin", "0.3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(KEYS) <= set(found)
    assert (found["n"], found["both"], found["only_candidate"], found["only_incumbent"]) == (200, 50, 50, 50)
    assert (found["gap"], found["flips"], found["verdict"]) == (0.0, 0.5, "NON_INFERIOR")


@pytest.mark.parametrize(
    ("ours", "theirs", "margin", "code"),
    [([1] * 99 + [0], [1] * 99 + [0], 0.2, 0), ([0] * 100, [1] * 100, 0.02, 10), ([1] * 50, [1] * 50, 0.01, 11)],
)
def test_exit_codes_are_verdicts(scores, ours, theirs, margin, code, capsys):
    assert main(["gap", scores("a.csv", ours), scores("b.csv", theirs), "--margin", str(margin)]) == code
    assert capsys.readouterr().out


def test_without_a_margin_the_verdict_is_null(scores, capsys):
    assert main(["gap", scores("a.csv", [0] * 40), scores("b.csv", [1] * 40), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] is None


def test_missing_scores_are_said(scores, capsys):
    a, b = scores("a.csv", [1] * 960 + [None] * 40), scores("b.csv", [1] * 1000)
    assert main(["gap", a, b, "--margin", "0.02"]) == 11
    printed = " ".join(capsys.readouterr().out.split())
    assert "40 items lack a score" in printed
    assert "nothing is claimed" in printed


def test_items_of_one_file_only_are_missing_unless_asked_otherwise(scores, capsys):
    a, b = scores("a.csv", [1] * 300), scores("b.csv", [1] * 400)
    assert main(["gap", a, b, "--margin", "0.02"]) == 11
    assert main(["gap", a, b, "--margin", "0.02", "--shared"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gap", "none.csv", "none.csv"], 1, "There is no file"),
        (["gap", "a", "b", "--margin", "2"], 2, "Two points are"),
        (["gap", "a", "b", "--marign", "0.02"], 2, "--margin"),
        (["gapp"], 2, "gap"),
        (["gap"], 2, "--help"),
    ],
)
def test_errors_say_what_to_do(arguments, code, message, capsys):
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_a_page_is_written_whole(scores, tmp_path, capsys):
    page = tmp_path / "out" / "gap.md"
    main(["gap", scores("a.csv", [1] * 40), scores("b.csv", [1] * 40), "-o", str(page)])
    assert page.read_text().startswith("# a.csv against b.csv")
    assert str(page) in "".join(capsys.readouterr().out.split("\n"))


def test_a_place_that_cannot_be_written_is_a_clear_error(scores, capsys):
    assert main(["gap", scores("a.csv", [1] * 40), scores("b.csv", [1] * 40), "-o", "/proc/parity.md"]) == 1
    assert "/proc/parity.md" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from parity.cli import main; main(['--help']); "
        "heavy = {'torch', 'transformers', 'scipy', 'numpy', 'sqlalchemy'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gap" in done.stdout
