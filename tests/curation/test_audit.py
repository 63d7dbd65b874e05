"""The audit: every fault counted by its kind, listed by its row, and fatal unless a budget allows it."""

import json

import pytest

from parity.cli.app import main
from parity.core.examples import Example, PreferencePair, ToolCall, Turn, compact, row_object
from parity.curation.audit import Audit, audited
from parity.curation.labels import Labeller
from parity.curation.readings import Fault
from parity.errors import DataError
from parity.reporting.data import Seen, seen_text
from parity.testing.folders import trained_tokenizer


@pytest.fixture(scope="module")
def labeller():
    tokenizer = trained_tokenizer(["hello there, how are you today?"] * 3)
    opened = Labeller(tokenizer, tokenizer.chat_template, [tokenizer.convert_tokens_to_ids("<|im_end|>")])
    yield opened
    opened.close()


def chat(answer):
    return Example((Turn("user", "hello"), Turn("assistant", answer)))


CALLING = Example((Turn("user", "x"), Turn("assistant", "", (ToolCall("f", "{}"),))))


def test_every_fault_is_counted_and_names_its_row(labeller):
    rows = [chat("fine"), chat("hello there " * 50), CALLING, Example((Turn("user", "x"),))]
    found = Audit()
    kept = list(audited(rows, labeller, 40, found))
    assert [row.id for row, _ in kept] == [rows[0].id]
    assert {fault: [row_id for row_id, _ in named] for fault, named in found.faulty.items()} == {
        Fault.DROPPED: [rows[1].id],
        Fault.TEMPLATE: [rows[2].id],
        Fault.EMPTY_MASK: [rows[3].id],
    }
    assert (found.rows, found.sequences, found.faulty_rows) == (4, 1, 3)
    with pytest.raises(DataError, match="3 faulty rows of 4") as caught:
        found.require()
    assert rows[1].id[:16] in str(caught.value)
    found.require(3)


def test_a_cut_answer_has_lost_its_end_and_that_is_said(labeller):
    found = Audit()
    ((_, (one,)),) = audited([chat("hello there " * 50)], labeller, 40, found, "truncate")
    assert len(one) == 40
    assert one.trained[-1].end == 40
    assert set(found.faulty) == {Fault.TRUNCATED, Fault.NO_EOS}


def test_of_a_pair_both_endings_stay_or_none(labeller):
    good, long = (Turn("assistant", "good"),), (Turn("assistant", "hello there " * 50),)
    found = Audit()
    assert list(audited([PreferencePair((Turn("user", "x"),), good, long)], labeller, 40, found)) == []
    assert found.counts["dropped"] == 1


def test_a_row_counts_once_for_a_fault_and_every_kind_of_reason_is_named(labeller):
    long = (Turn("assistant", "hello there " * 50),), (Turn("assistant", "hello there " * 51),)
    pair = PreferencePair((Turn("user", "x"),), *long)
    found = Audit()
    list(audited([pair, *[Example((Turn("user", str(at)),)) for at in range(5)]], labeller, 40, found, "truncate"))
    assert found.counts["truncated"] == 1
    with pytest.raises(DataError) as caught:
        found.require()
    for words in ("truncated: cut to 40 tokens", "empty-mask: no turn of the assistant's", "and 2 more"):
        assert words in str(caught.value)


def test_rows_do_not_steer_the_terminal_they_are_shown_on():
    shown = seen_text(Seen("id", "chosen", 3, (("a\x1b[31mb\x9b\tc\n", False), ("d", True)))).plain
    assert shown == "id, chosen, 3 tokens\na\u241b[31mb\ufffd\tc\n»d«\n"


def test_no_rows_are_not_enough(labeller):
    with pytest.raises(DataError, match="no row"):
        Audit().require()


def test_the_command_fails_closed(tmp_path, capsys):
    model, rows = tmp_path / "model", tmp_path / "rows.jsonl"
    trained_tokenizer(["hello there, how are you today?"] * 3).save_pretrained(model)
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 1, 2, 3, 4]}))
    rows.write_text("".join(compact(row_object(row)) + "\n" for row in (chat("fine"), CALLING)))
    assert main(["data", "audit", str(rows), str(model), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["faults"]["template-mismatch"], found["passed"]) == (1, False)
    assert found["ids"]["template-mismatch"] == [CALLING.id]
    assert main(["data", "audit", str(rows), str(model), "--budget", "1"]) == 0
    printed = capsys.readouterr().out
    assert "»fine<|im_end|>«" in printed
    assert "Passed: 1 faulty rows, the budget is 1." in printed
    assert f"template-mismatch: turn 2: the template drops tool calls or their results ({CALLING.id[:16]})" in printed
