"""parity benchmarks: the list, and a file of one's own looked at."""

import json

from parity.cli.app import main


def test_the_list_says_what_a_run_costs(capsys):
    assert main(["benchmarks", "--model", "openai:gpt-4o", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)["benchmarks"]}
    assert found["gsm8k"]["items"] == 1319
    assert found["gsm8k"]["usd"] > 1
    assert found["mmlu-pro"]["usd"] is None
    assert found["ifeval"]["licence"] == "Apache-2.0"


def test_a_file_is_checked_and_its_first_prompt_shown(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("question,answer\nHow many?,3\n")
    (tmp_path / "mine.toml").write_text('name = "mine"\nitems = "mine.csv"\nmark = "numeric"\n')
    assert main(["benchmarks", "check", str(tmp_path / "mine.toml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["first_prompt"] == "How many?\nAnswer:"
    assert (found["items"], found["answer_tokens"]) == (1, 64)
    (tmp_path / "mine.csv").write_text("question,answer\nHow many?,three\n")
    assert main(["benchmarks", "check", str(tmp_path / "mine.toml")]) == 1
    assert "which is no number" in capsys.readouterr().err


def test_what_does_not_fit_is_said(capsys):
    assert main(["benchmarks", "list", "mmlu"]) == 2
    assert "parity benchmarks check mmlu" in capsys.readouterr().err
    assert main(["benchmarks", "check"]) == 2
