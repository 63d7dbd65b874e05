"""`parity check` on the command line: exit code and the first failing hop, for machines and for people."""

import json

from parity.cli.app import main
from parity.core.checked import Agreement, Checked, Problem
from parity.reporting.checks import checked_page

OUTPUTS = Agreement(10, 0.1, 0.5, 0.2, 1.05, 0.3, 0.5)


def test_the_first_failing_hop_is_said_first():
    problems = (Problem("tokenizer", "missing EOS", "x"), Problem("tensors", "lost bias", "y"))
    page = checked_page(Checked("base", "file", problems, OUTPUTS))
    assert "tokenizer: missing EOS" in page.blocks[0].text
    assert "Every hop holds" in checked_page(Checked("base", "file", (), OUTPUTS)).blocks[0].text


def test_json_and_exit_code(monkeypatch, capsys, tmp_path):
    import parity.quantization.check as room

    found = Checked("base", "file", (Problem("configuration", "wrong epsilon", "z"),), OUTPUTS)
    monkeypatch.setattr(room, "check", lambda *_: found)
    assert main(["check", "base", "file", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["first"]["cause"] == "wrong epsilon"
    assert data["outputs"]["flips"] == 0.2
    monkeypatch.setattr(room, "check", lambda *_: Checked("base", "file", (), OUTPUTS))
    assert main(["check", "base", "file", "--json"]) == 0
