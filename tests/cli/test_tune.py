"""`parity tune`, `merge` and `diff` on the command line."""

import json

import pytest

from parity.cli.app import main
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    family_folder("llama-2", folder / "base", trained_tokenizer(["0 1 2 3 4 5 6 7 8 9 is odd even"] * 4, 290))
    rows = [{"prompt": f"{n} is ", "completion": "odd" if n % 2 else "even"} for n in range(10)] * 3
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plan.toml").write_text(
        f'base = "{folder}/base"\ndata = "{folder}/rows.jsonl"\nout = "{folder}/out"\nprecision = "float32"\n'
        "[recipe]\nrank = 4\nlearning_rate = 0.02\nepochs = 4\nbatch_tokens = 80\n"
    )
    return folder


def test_a_plan_is_trained_merged_and_compared(place, capsys):
    assert main(["tune", str(place / "plan.toml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss"][-1] < found["loss"][0]
    assert {row["kind"] for row in found["adapters"]} >= {"q_proj", "down_proj"}
    assert (place / "out" / "curve.svg").read_text().startswith("<svg")
    assert main(["merge", str(place / "out"), str(place / "merged"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["apart"] < 1e-3
    assert main(["diff", str(place / "base"), str(place / "merged")]) == 0
    assert "14 of 21 tensors moved." in capsys.readouterr().out


def test_one_step_is_no_curve_and_only_files_that_exist_are_named(place, capsys):
    flags = ("--base", str(place / "base"), "--data", str(place / "rows.jsonl"), "--batch-tokens", "100000")
    assert main(["tune", *flags, "--precision", "float32", "--out", str(place / "one")]) == 0
    said = capsys.readouterr().out
    assert "1 steps" in said
    assert "Written:" in said
    assert "None" not in said
    assert not (place / "one" / "curve.svg").exists()


def test_flags_and_a_plan_do_not_mix(place, capsys):
    assert main(["tune", str(place / "plan.toml"), "--rank", "8"]) == 2
    assert "A plan and flags" in capsys.readouterr().err
    assert main(["tune", "--base", str(place / "base")]) == 2
    assert "--data, --out is missing" in capsys.readouterr().err


def test_defaults_are_explained_with_their_sources(capsys):
    assert main(["tune", "--explain"]) == 0
    said = capsys.readouterr().out
    for word in ("learning_rate", "LoRA Without Regret", "2305.14314", "experts"):
        assert word in said
