"""`parity data` on the command line: rows in, split without a benchmark's text, seen as the model will see them."""

import gzip
import json

import pytest

from parity.cli.app import main
from parity.core.fingerprints import Fingerprints
from parity.curation.importing import read_rows
from shared import needs_shared


def chat(question, answer="I do not know."):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def written(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def test_rows_in_are_counted_to_the_last_one(tmp_path, capsys):
    rows = [chat("a"), chat("b"), chat("a"), {"messages": []}, chat("c") | {"temperature": 1}]
    assert main(["data", "import", written(tmp_path / "rows.jsonl", rows), "--to", str(tmp_path / "in"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["read"], found["rows"], found["repeated"], sum(found["rejected"].values())) == (5, 3, 1, 1)
    assert found["not_kept"] == {"temperature": 1}
    assert main(["data", "import", str(tmp_path / "rows.jsonl"), "--to", str(tmp_path / "in")]) == 0
    printed = capsys.readouterr().out
    assert "5 rows read: 3 kept, 1 rejected, 1 repeated" in printed
    assert "imported before" in printed


@pytest.mark.parametrize("verb", ["import", "split"])
def test_an_interruption_says_what_it_leaves(tmp_path, capsys, monkeypatch, verb):
    source = written(tmp_path / "rows.jsonl", [chat(str(at)) for at in range(20)])
    assert main(["data", "import", source, "--to", str(tmp_path / "in")]) == 0

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"parity.curation.{'importing' if verb == 'import' else 'shelf'}.row_object", interrupted)
    again = written(tmp_path / "more.jsonl", [chat("x")]) if verb == "import" else str(tmp_path / "in")
    assert main(["data", verb, again, "--to", str(tmp_path / "out")]) == 130
    assert "Nothing was written to" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


BENCHMARKS = {"gsm8k": "reasoning_benchmarks/gsm8k", "humaneval": "code_benchmarks", "mmlu": "mmlu"}
CHANGES = {
    "exact": str,
    "cased": str.upper,
    "reformatted": lambda text: text.replace(" ", "\n  ").replace(",", " --"),
    "digits": lambda text: text.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
    "inside": lambda text: f"A question from a book: {text} Explain.",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_copies_of_real_benchmarks_are_taken_out_and_nothing_else(tmp_path, capsys, name):
    from parity.benchmarks.catalog import open_benchmark

    folder = needs_shared(*BENCHMARKS[name].split("/"))
    demo = needs_shared("instruction_data", "llama_factory", "alpaca_en_demo.json.gz")
    honest = json.loads(gzip.decompress(demo.read_bytes()))[:100]
    items = [item.question for item in open_benchmark(name, folder).items]
    long = [question for question in items if not Fingerprints.of([question])[1]]
    step = max(1, len(long) // 20)
    copies = [chat(change(question)) for question in long[::step][:20] for change in CHANGES.values()]
    source = written(tmp_path / "rows.jsonl", [*honest, *copies])
    assert main(["data", "import", source, "--to", str(tmp_path / "in"), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["formats"]["messages"] + read["repeated"] >= len(copies)
    flags = ["--shares", "1,0,0,0", "--against", f"{name}={folder}", "--json"]
    assert main(["data", "split", str(tmp_path / "in"), "--to", str(tmp_path / "out"), *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    planted = {row.id for row in read_rows(tmp_path / "in") if row.messages[-1].content == "I do not know."}
    assert set(found["contaminated"]) == planted
    assert found["rows"]["train"] == read["rows"] - len(planted)


def test_a_split_of_what_is_no_import_says_so(tmp_path, capsys):
    rows = written(tmp_path / "x.jsonl", [{"a": 1}])
    assert main(["data", "split", rows, "--to", str(tmp_path / "out"), "--shares", ".5,.5"]) == 2
    assert "are not four fractions" in capsys.readouterr().err
    assert main(["data", "split", rows, "--to", str(tmp_path / "out")]) == 1
    assert "parity data import" in capsys.readouterr().err
