"""`parity check` on the command line: exit code and the first failing hop, for machines and for people."""

import json
from pathlib import Path

import pytest

from parity.cli.app import main
from parity.core.checked import Agreement, Checked, Continued, Conversations, Difference, Hop, Problem, Task, in_order
from parity.core.refs import ModelRef
from parity.measurement.comparison import compare
from parity.measurement.pairing import Pairs
from parity.reporting.checks import checked_page
from parity.reporting.markdown import write
from parity.stats.paired import PairedCounts

LOST = Hop(
    "quantized", "f32.gguf", "q4.gguf", Agreement(10, 0.1, 0.5, 0.2, 1.05, 0.3, 0.5), Continued(4, 48, 1, 0, 0.6)
)
TALKS = Conversations(9, 8, (Difference("tools", "'a'", "'b'"),), 8, 8)
WORSE = Task("mmlu", compare(Pairs(PairedCounts(200, 140, 0, 60)), 0.05))
UNSURE = Task("mmlu", compare(Pairs(PairedCounts(20, 14, 3, 3)), 0.05))


def found(*problems, task=None):
    return Checked("base", "q4.gguf", (LOST,), in_order(list(problems)), TALKS, task)


@pytest.fixture
def told(monkeypatch):
    """A function that lets the verb find this, and keeps what it was asked."""
    import parity.quantization.check as room

    asked = []

    def tell(checked):
        monkeypatch.setattr(room, "check", lambda spec, _: asked.append(spec) or checked)
        return asked

    return tell


def test_a_hop_before_explains_a_hop_after():
    later, earlier = Problem("quantized", "tokenizer", "z", "z"), Problem("gguf", "tensors", "lost bias", "y")
    same = Problem("gguf", "tokenizer", "missing EOS", "x")
    assert found(later, earlier, same).problems == (same, earlier, later)
    page = checked_page(found(later, earlier, same))
    assert "conversion to GGUF, tokenizer: missing EOS" in page.blocks[0].text
    assert "Every hop holds" in checked_page(found()).blocks[0].text


def test_the_page_says_what_each_hop_loses_and_the_interval_on_the_task():
    text = write(checked_page(found(task=WORSE)))
    assert "1 of 4" in text
    assert "x 1.0500" in text
    assert "tools" in text
    assert "95 % interval" in text
    assert "NO PARITY" in text


def test_json_and_exit_code(told, capsys):
    told(found(Problem("gguf", "configuration", "wrong epsilon", "z")))
    assert main(["check", "base", "file", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["first"]["cause"] == "wrong epsilon"
    assert data["hops"][0]["outputs"]["flips"] == 0.2
    told(found())
    assert main(["check", "base", "file", "--json"]) == 0


@pytest.mark.parametrize(("task", "code"), [(WORSE, 10), (UNSURE, 11)])
def test_the_exit_code_is_the_verdicts_where_only_the_task_decides(told, task, code):
    problems = [Problem("chat", "task", "worse on the task", "x")] if code == 10 else []
    told(found(*problems, task=task))
    assert main(["check", "base", "file", "--json"]) == code
    told(found(Problem("gguf", "tensors", "lost bias", "y"), *problems, task=task))
    assert main(["check", "base", "file", "--json"]) == 1


def test_what_does_not_go_together_is_said_at_once(told, capsys):
    asked = told(found())
    assert main(["check", "base", "file", "--margin", "2", "--max-items", "0"]) == 2
    said = capsys.readouterr().err
    assert "--margin 2" in said
    assert "--max-items 0" in said
    assert "go with --benchmark" in said
    assert asked == []


def test_the_gap_is_measured_between_the_folder_and_the_file(told, tmp_path, monkeypatch):
    """The verb hands over how to measure: asked here with two models that need no weights."""
    monkeypatch.chdir(tmp_path)
    benchmark = Path(__file__).parents[2] / "examples" / "tickets" / "tickets.toml"
    asked = told(found())
    assert main(["check", "base", "file", "-b", str(benchmark), "--margin", "0.05", "--json"]) == 0
    name, gap = asked[0].task(ModelRef.parse("dummy:letter=A"), ModelRef.parse("dummy:letter=A"))
    assert name == "tickets"
    assert (gap.gap, gap.margin) == (0, 0.05)
