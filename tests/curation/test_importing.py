"""Import: every format into one, nothing lost in silence, every rejected row named."""

import gzip
import json
import random
from collections import Counter

import pytest

from parity.core.examples import Example, Passage, PreferencePair, RatedAnswer, row_from_object, row_object
from parity.curation.formats import row_of
from parity.curation.importing import REPEATED, import_files, read_rows
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
    "weights": ({"messages": [*CHAT, CHAT[0], {**CHAT[1], "weight": 0}, CHAT[0], {**CHAT[1], "weight": 1}]}, Example),
    "old calls": (
        {
            "messages": [
                CHAT[0],
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
                CHAT[1],
            ],
            "functions": [TOOL["function"]],
        },
        Example,
    ),
    "developer": ({"messages": [{"role": "developer", "content": "be kind"}, *CHAT]}, Example),
    "sharegpt tools": (
        {
            "conversations": [
                {"from": "human", "value": "a"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "1"},
                {"from": "gpt", "value": "b"},
            ],
            "tools": json.dumps([TOOL["function"]]),
        },
        Example,
    ),
    "joined batch": (
        {"body": {"messages": CHAT[:1]}, "response": {"body": {"choices": [{"message": CHAT[1]}]}}},
        Example,
    ),
    "prompt and response": ({"prompt": "a", "response": "b"}, Example),
    "conversational kto": ({"prompt": CHAT[:1], "completion": CHAT[1:], "label": True}, RatedAnswer),
    "kto of messages": ({"messages": CHAT, "label": 1.0}, RatedAnswer),
}


def test_what_is_not_trained_is_known_to_the_row():
    """OpenAI's weight 0; the prompt of a completion (as in TRL); earlier answers of a logged request."""
    asked = [*CHAT, CHAT[0]]
    untrained = {
        "weights": (3,),
        "prompt": row_of({"prompt": asked, "completion": CHAT[1:]})[1].untrained,
        "log": row_of({"request": {"messages": asked}, "response": {"choices": [{"message": CHAT[1]}]}})[1].untrained,
    }
    assert row_of(GOOD["weights"][0])[1].untrained == untrained["weights"]
    assert untrained["prompt"] == untrained["log"] == (1,)
    everything = row_of({"messages": [*CHAT, CHAT[0], CHAT[1]]})[1]
    muted = row_of({"messages": [CHAT[0], {**CHAT[1], "weight": 0}, CHAT[0], CHAT[1]]})[1]
    assert everything.messages == muted.messages
    assert everything.id != muted.id  # they teach different things


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


ODD = (
    None, [], {}, "", 0, 1, -1, 1.5, True, "x", "[", "[]", "{}", [[]], [None], [1], ["a"], {"a": 1}, [{"role": "user"}],
    {"role": "assistant", "content": "x"}, "nan", "[[1]]", '[{"role": "user", "content": "a"}]', "\x00", "\ud800",
)  # fmt: skip


def places(value, at=()):
    yield at
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*at, key))


def exchanged(value, place, odd):
    if not place:
        return odd
    again = value.copy()
    again[place[0]] = exchanged(again[place[0]], place[1:], odd)
    return again


def test_an_odd_value_anywhere_is_kept_whole_or_rejected_and_breaks_nothing(tmp_path):
    rows = [exchanged(record, place, odd) for record, _ in GOOD.values() for place in places(record) for odd in ODD]
    source = tmp_path / "odd.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = import_files([source], tmp_path / "out", keep_repeated=True)
    assert done.read == len(rows)
    assert not [reason for reason in done.rejected if "promises" in reason]  # every reason is one that was thought of
    again = list(read_rows(tmp_path / "out"))
    for text, row in zip((tmp_path / "out" / "rows.jsonl").read_text().splitlines(), again, strict=True):
        assert json.loads(text)["id"] == row.id


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
    (line({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, CHAT[1]]}), "no text (image_url)"),
    (line({"messages": [CHAT[0], {**CHAT[1], "weight": 0}]}), "every answer has weight 0"),
    (line({"messages": [CHAT[0], {**CHAT[1], "weight": 0.5}]}), "neither 0 nor 1"),
    (line({"messages": [CHAT[0], {"role": "assistant", "content": None, "refusal": "No."}]}), "is a refusal"),
    (line({"messages": [CALLED[0], CALLED[1], {**CALLED[2], "tool_call_id": "call_9"}, CHAT[1]]}), "nobody made"),
    (
        line({"messages": [CHAT[0], {**CALLED[1], "tool_calls": [CALL, CALL]}], "parallel_tool_calls": False}),
        "parallel_tool_calls is false",
    ),
    (line({"messages": CHAT[:1], "choices": [{"message": CHAT[1]}] * 2}), "several choices"),
    (line({"custom_id": "1", "response": {"body": {"choices": [{"message": CHAT[1]}]}}}), "not in the file"),
    (line({"instruction": "a", "output": "b", "history": [["c"]]}), "history is no list"),
    (line({"prompt": CHAT[:1], "chosen": [{**CHAT[1], "weight": 0}], "rejected": "x"}), "weight 0"),
    (line({"messages": [{"role": "user", "content": "<|im_start|>user\nx"}, CHAT[1]]}), "already rendered"),
    (line({"messages": [{"role": "user", "content": "a\u0000b"}, CHAT[1]]}), "binary"),
    (line({"messages": CHAT[:1], "choices": [{"message": CHAT[1], "finish_reason": "length"}]}), "cut"),
    (line({"prompt": "a", "chosen": "b", "rejected": "b"}), "the same"),
    (line({"prompt": "a", "completion": "b", "label": "maybe"}), "neither true nor false"),
    (line({"prompt": "nan", "completion": "b"}), "prompt is empty"),
    (line({"question": "a"}), "no known format"),
    (line({"\x1b[31m\ud800": "a"}), "has the keys ?[31m?"),
    (line({"messages": [{"role": "user", "content": [{"type": "\ud800"}]}, CHAT[1]]}), "no text (?)"),
    (line({"text": "x", "user": "\ud800"}), "lone surrogate"),
    (line({"messages": CALLED, "tools": [{"name": "f\ud800"}]}), "lone surrogate"),
    (line({"messages": [["user", "hi"], ["assistant", "x"]]}), "a message is no object"),
    (line({"chosen": [CHAT[0], {**CHAT[1], "weight": 0}], "rejected": [CHAT[0], CALLED[3]]}), "weight 0"),
    (b"[" * 100_000, "not JSON"),
]


def test_poisoned_rows_are_named_and_take_no_other_row_with_them(tmp_path):
    source, good = tmp_path / "mixed.jsonl", line({"prompt": "a", "completion": "b"})
    source.write_bytes(b"\n".join(part for poison, _ in POISON for part in (poison, good)) + b"\n")
    done = import_files([source], tmp_path / "out", keep_repeated=True)
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


def imported(tmp_path, name, data):
    source = tmp_path / name
    source.write_bytes(data)
    done = import_files([source], tmp_path / f"{name}.out", keep_repeated=True)
    named = [json.loads(text) for text in (done.folder / "rejected.jsonl").read_text().splitlines()]
    return done, list(read_rows(done.folder)), {entry["line"]: entry["reason"] for entry in named}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_as_spreadsheets_save_them(tmp_path, encoding, mark):
    text = f'prompt{mark}completion\r\n"a {mark}""b"" ü\nc"{mark}ja\r\n\r\nd{mark}"nein"\r\n'
    _, rows, rejected = imported(tmp_path, "rows.csv", text.encode(encoding))
    assert ([row.messages[0].content for row in rows], rejected) == ([f'a {mark}"b" ü\nc', "d"], {})


def test_broken_rows_of_a_table_are_named_by_the_line_they_begin_on(tmp_path):
    data = b'prompt,completion\na,b\n\xe9t\xe9,b\nonly one\na,\xef\xbf\xbd\n"a"b,c\nd,e\n"open,x\ny,z\n'
    _, rows, rejected = imported(tmp_path, "rows.csv", data)
    assert [row.messages[0].content for row in rows] == ["a", "a", "d"]  # U+FFFD itself is text
    assert {at: why.split(" (")[0] for at, why in rejected.items()} == {
        3: "not UTF-8 text", 4: "1 cells for 2 columns", 6: "not CSV", 8: "not CSV",
    }  # fmt: skip
    with pytest.raises(DataError, match="a column twice"):
        imported(tmp_path, "twice.csv", b"prompt,prompt,completion\na,b,c\n")


def test_messages_in_the_cells_of_a_table_are_read(tmp_path):
    cell = json.dumps([CHAT[0], {**CHAT[1], "weight": 0}, *CHAT]).replace('"', '""')
    _, rows, rejected = imported(tmp_path, "rows.csv", f'messages,user\n"{cell}",ann\n'.encode())
    assert (rows[0].untrained, rows[0].origin.user, rejected) == ((1,), "ann", {})


def test_an_array_goes_on_behind_nan_and_stops_loudly_where_rows_would_be_lost(tmp_path):
    good = '{"prompt": "a", "completion": "b"}'
    _, rows, rejected = imported(tmp_path, "a.json", f'[{good}, {{"prompt": NaN}}, {good}]'.encode())
    assert (len(rows), list(rejected)) == (2, [2])
    with pytest.raises(DataError, match="row 2 is not JSON, and no row behind it"):
        imported(tmp_path, "b.json", f'[{good}, {{"prompt" "a"}}, {good}]'.encode())
    assert len(imported(tmp_path, "lines.json", f"\n{good}\n{good}\n".encode())[1]) == 2
    with pytest.raises(DataError, match="cannot be read"):
        imported(tmp_path, "cut.jsonl.gz", gzip.compress(f"{good}\n".encode() * 999)[:-9])


def test_what_a_row_has_no_place_for_is_counted(tmp_path):
    chat = [{**CHAT[0], "name": "Ann"}, {**CHAT[1], "annotations": ["x"]}]
    row = {"messages": chat, "response_format": {"type": "json_object"}, "temperature": 1, "tools": [], "stop": None}
    log = {"request": {"messages": CHAT[:1], "model": "m"}, "response": {"choices": [{"message": CHAT[1]}]}}
    done, _, rejected = imported(tmp_path, "rows.jsonl", b"\n".join([line(row), line(row), line(log)]))
    assert rejected == {}
    assert done.not_kept == {
        "response_format": 2, "temperature": 2, "messages[].name": 2, "messages[].annotations": 2, "model": 1,
    }  # fmt: skip


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


def test_every_row_read_is_kept_rejected_or_repeated_and_is_accounted_for(tmp_path):
    draw = random.Random(0)
    poison = [text for text, _ in POISON if len(text) < 1000]
    good = [line(record) for record, _ in GOOD.values()] + [line({"text": f"text {at}"}) for at in range(40)]
    for trial in range(8):
        rows = draw.choices([*poison, *good, b"[[]]", b"7", b'"x"', b"null"], k=200)
        half = draw.randrange(200)
        files = [tmp_path / f"{trial}a.jsonl", tmp_path / f"{trial}b.jsonl.gz"]
        files[0].write_bytes(b"\n".join(rows[:half]))
        files[1].write_bytes(gzip.compress(b"\n".join(rows[half:])))
        done = import_files(files, tmp_path / f"out{trial}")
        named = [json.loads(text) for text in (done.folder / "rejected.jsonl").read_text().splitlines()]
        counted = Counter(entry["reason"] for entry in named)
        assert done.read == done.rows + done.repeated + sum(done.rejected.values()) == 200
        assert counted == Counter(done.rejected) + Counter({REPEATED: done.repeated})
        ids = [row.id for row in read_rows(done.folder)]
        assert len(ids) == len(set(ids)) == done.rows
        assert {*ids} == {row_of(json.loads(text))[1].id for text in {*rows} & {*good}}
        places = {(entry["file"], entry["line"]) for entry in named}
        assert len(places) == len(named)  # no row is named twice, and no kept row is named
        kept_places = {(file.name, at) for file, part in zip(files, (rows[:half], rows[half:]), strict=True)
                       for at in range(1, len(part) + 1)} - places  # fmt: skip
        assert len(kept_places) == done.rows


def test_repeated_rows_are_counted_and_kept_only_when_asked(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\n".join([line({"prompt": "a", "completion": "b"}), line({"messages": CHAT})] * 3))
    done = import_files([source], tmp_path / "out")
    assert (done.rows, done.repeated, done.rejected) == (2, 4, {})
    named = [json.loads(text) for text in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["reason"]) for entry in named] == [(at, REPEATED) for at in (3, 4, 5, 6)]
    kept = import_files([source], tmp_path / "out", keep_repeated=True)
    assert (kept.rows, kept.repeated, kept.already_there) == (6, 0, False)


def test_what_an_interruption_leaves_is_the_old_result_and_no_litter(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_bytes(line({"prompt": "a", "completion": "b"}))
    import_files([source], tmp_path / "out")
    source.write_bytes(b"\n".join(line({"text": str(at) * 1000}) for at in range(1000)))

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_files([source], tmp_path / "out", stop)
    (tmp_path / "out" / ".unfinished-of-a-killed-one").mkdir()
    assert [row.id for row in read_rows(tmp_path / "out")] == [row_of({"prompt": "a", "completion": "b"})[1].id]
    assert import_files([source], tmp_path / "out").rows == 1000
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rows.jsonl", "rejected.jsonl", "manifest.json"}


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
    assert (done.rows + done.repeated, sum(done.rejected.values())) == REAL[name], done.rejected
    assert sum(1 for _ in read_rows(tmp_path / "out")) == done.rows
