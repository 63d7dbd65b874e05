"""Import: every format into one, nothing lost in silence, every rejected row named."""

import gzip
import json
from collections import Counter

import pytest

from parity.core.examples import Example, Passage, PreferencePair, RatedAnswer, row_from_object, row_object
from parity.curation.formats import row_of
from parity.curation.importing import import_files, read_rows
from parity.errors import DataError
from shared import needs_shared

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a": "x"}'}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALLED = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    {"role": "assistant", "content": "done"},
]
GOOD = {
    "messages": ({"messages": CALLED, "tools": [TOOL], "user": "u"}, Example),
    "parts": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, CHAT[1]]}, Example),
    "stored": ({"request": {"messages": CALLED[:1]}, "response": {"choices": [{"message": CALLED[1]}]}}, Example),
    "completion object": ({"messages": CHAT[:1], "choices": [{"message": CHAT[1], "finish_reason": "stop"}]}, Example),
    "log pair": ([CHAT[:1], {"choices": [{"message": CHAT[1], "finish_reason": "stop"}]}], Example),
    "sharegpt": ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, Example),
    "alpaca": ({"instruction": "a", "input": "", "output": "b", "history": [["c", "d"]]}, Example),
    "completion": ({"prompt": "a", "completion": "b"}, Example),
    "preference": ({"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": "no"}, PreferencePair),
    "implicit prompt": ({"chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "x"}]}, PreferencePair),
    "hh": ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}, PreferencePair),
    "openai preference": (
        {"input": {"messages": CHAT[:1]}, "preferred_output": CHAT[1:], "non_preferred_output": [CALLED[3]]},
        PreferencePair,
    ),
    "kto": ({"prompt": "a", "completion": "b", "label": False}, RatedAnswer),
    "text": ({"text": "running text"}, Passage),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_becomes_a_row_that_survives_a_round_trip(name):
    record, kind = GOOD[name]
    _, row = row_of(record)
    assert type(row) is kind
    again = row_from_object(json.loads(json.dumps(row_object(row))))
    assert again == row
    assert again.id == row.id
    assert again.origin == row.origin


def test_tools_calls_and_results_are_kept_in_their_own_order():
    _, row = row_of(GOOD["messages"][0])
    assert [turn.role for turn in row.messages] == ["user", "assistant", "tool", "assistant"]
    assert row.messages[1].tool_calls[0].arguments == '{"b":1,"a":"x"}'
    assert row.messages[2].tool_call_id == "call_1"
    assert json.loads(row.tools[0]) == TOOL
    assert row.origin.user == "u"


def line(record):
    return json.dumps(record).encode()


POISON = [
    (b'{"messages": [{"role": "user", "content": NaN}]}', "NaN"),
    (b"\xff\xfe\x00binary", "UTF-8"),
    (b'{"messages": ', "not JSON"),
    (b"[1]", "no object"),
    (line({"text": "x" * 1_000_001}), "1,000,000 bytes"),
    (line({"messages": []}), "messages is empty"),
    (line({"messages": [{"role": "wizard", "content": "x"}]}), "unknown role 'wizard'"),
    (line({"messages": [*CHAT, {"role": "user", "content": "more"}]}), "ends with a turn of role user"),
    (line({"messages": [CHAT[0], {"role": "assistant", "content": " "}]}), "an empty turn"),
    (line({"messages": [CHAT[0], {"role": "tool", "content": "1"}, CHAT[1]]}), "no tool was called"),
    (line({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, CHAT[1]]}), "no text"),
    (line({"messages": [{"role": "user", "content": "<|im_start|>user\nx"}, CHAT[1]]}), "already rendered"),
    (line({"messages": [{"role": "user", "content": "a\u0000b"}, CHAT[1]]}), "binary"),
    (line({"messages": CHAT[:1], "choices": [{"message": CHAT[1], "finish_reason": "length"}]}), "cut"),
    (line({"prompt": "a", "chosen": "b", "rejected": "b"}), "the same"),
    (line({"prompt": "a", "completion": "b", "label": "maybe"}), "neither true nor false"),
    (line({"prompt": "nan", "completion": "b"}), "prompt is empty"),
    (line({"question": "a"}), "no known format"),
    (b"[" * 100_000, "not JSON"),
]


def test_poisoned_rows_are_named_and_take_no_other_row_with_them(tmp_path):
    source, good = tmp_path / "mixed.jsonl", line({"prompt": "a", "completion": "b"})
    source.write_bytes(b"\n".join(part for poison, _ in POISON for part in (poison, good)) + b"\n")
    done = import_files([source], tmp_path / "out")
    assert done.rows == len(POISON)
    named = [json.loads(text) for text in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in named] == [1 + 2 * at for at in range(len(POISON))]
    for entry, (_, words) in zip(named, POISON, strict=True):
        assert words in entry["reason"]
    assert done.rejected == Counter(entry["reason"] for entry in named)


@pytest.mark.parametrize("ending", [".json", ".json.gz", ".jsonl.gz", ".csv"])
def test_files_of_every_kind_give_the_same_rows(tmp_path, ending):
    rows = [{"prompt": f'question {at}, "quoted"\n{"x" * 5000}', "completion": f"ä{at}"} for at in range(500)]
    if ending == ".csv":
        import csv
        import io

        text = io.StringIO()
        writer = csv.DictWriter(text, ["prompt", "completion"])
        writer.writeheader()
        writer.writerows(rows)
        data = text.getvalue()
    else:
        data = (
            json.dumps(rows, indent=1)
            if ending.startswith(".json.") or ending == ".json"
            else "\n".join(map(json.dumps, rows))
        )
    source = tmp_path / f"rows{ending}"
    source.write_bytes(gzip.compress(data.encode()) if ending.endswith(".gz") else data.encode())
    done = import_files([source], tmp_path / "out")
    assert (done.rows, done.rejected) == (500, {})
    assert [row.messages[0].content for row in read_rows(tmp_path / "out")] == [row["prompt"] for row in rows]


def test_an_import_is_done_once_and_again_when_its_source_changed(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_bytes(line({"prompt": "a", "completion": "b"}))
    first = import_files([source], tmp_path / "out")
    assert import_files([source], tmp_path / "out").already_there
    (tmp_path / "out" / "rows.jsonl").write_text("cut")
    second = import_files([source], tmp_path / "out")
    assert (second.already_there, second.sha256) == (False, first.sha256)
    source.write_bytes(line({"prompt": "a", "completion": "c"}))
    assert import_files([source], tmp_path / "out").sha256 != first.sha256


def test_a_failed_import_leaves_what_was_there(tmp_path):
    source, bad = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_bytes(line({"prompt": "a", "completion": "b"}))
    bad.write_bytes(b"nonsense\n")
    first = import_files([source], tmp_path / "out")
    with pytest.raises(DataError, match="not JSON"):
        import_files([bad], tmp_path / "out")
    assert import_files([source], tmp_path / "out") == type(first)(**{**_fields(first), "already_there": True})
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rows.jsonl", "rejected.jsonl", "manifest.json"}


def _fields(done):
    return {name: getattr(done, name) for name in done.__slots__}


REAL = {
    "llama_factory/alpaca_en_demo.json.gz": (999, 0),
    "llama_factory/dpo_en_demo.json.gz": (300, 0),
    "llama_factory/kto_en_demo.json.gz": (299, 1),  # one answer holds <|assistant|>
    "llama_factory/glaive_toolcall_en_demo.json.gz": (300, 0),
    "llama_factory/c4_demo.jsonl.gz": (300, 0),
    "code_alpaca/code_alpaca_2k.json.gz": (2015, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_whole(tmp_path, name):
    done = import_files([needs_shared("instruction_data", *name.split("/"))], tmp_path / "out")
    assert (done.rows, sum(done.rejected.values())) == REAL[name], done.rejected
    assert sum(1 for _ in read_rows(tmp_path / "out")) == done.rows
