"""Contamination that was planted is found, and what was not planted is not."""

import csv
import io
import itertools
import json
from collections import Counter

import numpy as np
import pytest

from parity.benchmarks.custom import load
from parity.cli.app import main
from parity.core.items import Item
from parity.core.outputs import Failure, FailureKind
from parity.core.refs import ModelRef
from parity.engines.open import open_engine
from parity.errors import DataError, UsageError
from parity.measurement.accounting import Terms
from parity.measurement.contamination import (
    Trial,
    _told,
    clean_items,
    moved_options,
    overlap,
    try_model,
    try_options,
    try_order,
)
from parity.reporting.contamination import clean_table, contamination_json, contamination_page
from parity.store import Workspace

WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heron", "inlet", "jetty", "knoll", "larch")


def benchmark(folder, count=48):
    chance = np.random.default_rng(1)
    rows = []
    for at in range(count):
        words = [str(word) for word in chance.permutation(WORDS)[:7]]
        row = {"id": f"q{at:02}", "question": f"Which goes with {words[4]} {words[5]} {words[6]} {at}?"}
        rows.append({**row, "options": words[:4], "answer": words[int(chance.integers(4))]})
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "b.toml").write_text('name = "planted"\nitems = "items.jsonl"\nmark = "choice"\n')
    return load(folder / "b.toml")


def item(name, question, options=("a", "b", "c", "d"), target="A"):
    return Item(name, question, (target,), options)


def test_items_that_share_a_run_of_words_are_found_and_no_others():
    long = "the quick brown fox jumps over the lazy dog and then sleeps until noon on the old porch"
    items = [item("long", long), item("short", "who wrote the first letter home"), item("tiny", "why so")]
    items.append(item("other", "a question of thirteen and more words that no training text ever did contain at all"))
    texts = ["unrelated", f"He said: {long.upper()}!", "so: Who wrote the FIRST letter home?"]
    found = overlap(items, texts)
    assert found.tainted == ("long", "short")
    assert found.found["other"] == 0
    assert (found.too_short, found.texts) == (("tiny",), 3)
    part = overlap(items, [" ".join(long.split()[:14])])
    assert 0 < part.found["long"] < 1


def test_the_list_of_clean_items_is_read_as_it_was_written(tmp_path):
    found = overlap([item("a,b", "one two three four five six"), item("c", "hi")], ["one two three four five six"])
    path = tmp_path / "clean.csv"
    path.write_text(clean_table(found))
    assert clean_items(path) == {"a,b": False, "c": True}
    path.write_text("item,clean\nx,yes\n")
    with pytest.raises(DataError, match="'yes'"):
        clean_items(path)


def test_right_letters_are_as_many_of_each_when_options_move(tmp_path):
    items = [*benchmark(tmp_path).items, *(item(f"t{at}", "?", ("x", "y"), "B") for at in range(9))]
    moved = moved_options(items)
    assert Counter(each.targets for each in moved) == Counter(each.targets for each in items)
    for before, after in zip(items, moved, strict=True):
        assert sorted(before.options) == sorted(after.options)
        right = [each.options[each.letters.index(each.targets[0])] for each in (before, after)]
        assert right[0] == right[1]
    assert sum(before.options != after.options for before, after in zip(items, moved, strict=True)) > 40


def tried(folder, model, bench, trial=None):
    engine, workspace = open_engine(ModelRef.parse(model)), Workspace(folder / "w")
    try:
        return try_model(engine, bench, bench.protocol(None), trial or Trial(6, 8, 10), workspace, Terms(None))
    finally:
        engine.close()
        workspace.close()


def test_what_cannot_be_tested_says_why(tmp_path):
    bench = benchmark(tmp_path, 10)
    engine, workspace = open_engine(ModelRef.parse("dummy:")), Workspace(tmp_path / "w")
    protocol = bench.protocol(None)
    with pytest.raises(UsageError, match="10 items whose options"):
        try_options(engine, bench, protocol, Trial(), workspace, Terms(None))
    with pytest.raises(UsageError, match="1 shards of 8"):
        try_order(engine, bench, protocol, Trial(), workspace, Terms(None))
    with pytest.raises(UsageError, match="No test of the model"):
        try_model(engine, bench, protocol, Trial(), workspace, Terms(None))
    found = tried(tmp_path, "dummy:", bench, Trial(2, 5, 3))
    assert found.order.shards == 2
    assert "10 items" in found.options
    assert contamination_json(found)["options"] == found.options
    assert any("Not tested" in getattr(block, "text", "") for block in contamination_page(found, "m").blocks)


def test_shards_that_do_not_fit_the_context_are_counted_and_left_out(tmp_path, monkeypatch):
    """Whole shards, in every order; with fewer than two left there is no test."""
    bench = benchmark(tmp_path)
    protocol = bench.protocol(None)

    def tries(limit):
        engine = open_engine(ModelRef.parse("dummy:"))
        answer = engine.answer

        def limited(requests):
            for request_id, output in answer(requests):
                long = request_id.item.startswith("order") and int(request_id.item.split()[-1]) >= limit
                yield request_id, Failure(FailureKind.CONTEXT_EXCEEDED, "too long") if long else output

        monkeypatch.setattr(engine, "answer", limited, raising=False)
        workspace = Workspace(tmp_path / f"w{limit}")
        try:
            return try_order(engine, bench, protocol, Trial(6, 8, 3), workspace, Terms(None))
        finally:
            workspace.close()

    found, too_long = tries(4)
    assert (found.shards, too_long) == (4, 2)
    with pytest.raises(UsageError, match="1 of 6 runs of 8 items fit"):
        tries(1)


def trained(folder, bench, texts, steps):
    """A tiny Llama fitted to runs of items: `texts` gives those of each step."""
    import torch

    from parity.testing.folders import LlamaShape, trained_tokenizer, untrained_llama

    protocol = bench.protocol(None)
    tokenizer = trained_tokenizer([_told(protocol, each) for each in bench.items], 340)
    torch.manual_seed(0)
    model = untrained_llama(LlamaShape(96, 192, 2, 4, 4, len(tokenizer), 1024, tied=True), None, tokenizer.eos_token_id)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(steps):
        rows = [tokenizer("\n" + text)["input_ids"] for text in texts()]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        labels = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_a_model_trained_on_the_test_as_published_is_caught_and_one_trained_on_its_content_is_not(tmp_path):
    pytest.importorskip("torch")
    bench = benchmark(tmp_path)
    protocol, chance = bench.protocol(None), np.random.default_rng(0)
    told, turn = [_told(protocol, each) for each in bench.items], itertools.count()

    def runs_and_single(items):
        """Runs of eight and items alone, by turns."""
        return ["\n\n".join(items[begin : begin + 8]) for begin in range(0, 48, 8)] if next(turn) % 2 else items

    def as_published():
        return runs_and_single(told)

    def content():
        """The same questions and right answers, in ever new orders, options in ever new places."""
        items = []
        for at in chance.permutation(48):
            each = bench.items[int(at)]
            options = tuple(each.options[int(place)] for place in chance.permutation(4))
            target = each.letters[options.index(each.options[each.letters.index(each.targets[0])])]
            items.append(_told(protocol, Item(each.id, each.question, (target,), options)))
        return runs_and_single(items)

    caught = tried(tmp_path, trained(tmp_path / "published", bench, as_published, 240), bench)
    assert caught.order.p < 1e-3
    assert caught.order.first >= 5
    assert caught.options.p < 0.01
    assert caught.caught
    clean = tried(tmp_path, trained(tmp_path / "content", bench, content, 160), bench)
    assert clean.order.p > 0.05
    assert clean.options.p > 0.05
    assert not clean.caught


def test_the_verb_lists_what_is_clean_and_gap_speaks_of_both(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bench = benchmark(tmp_path)
    rows = [{"text": f"Note: {each.question}"} for each in bench.items[:12]]
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "import", "raw.jsonl", "--to", "d"]) == 0
    capsys.readouterr()
    command = ["contamination", "-b", "b.toml", "--train", "d/rows.jsonl", "-o", "clean.csv", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["contaminated"] is True
    assert found["overlap"]["tainted"] == [each.id for each in bench.items[:12]]
    assert sum(row["clean"] == "1" for row in csv.DictReader(io.StringIO((tmp_path / "clean.csv").read_text()))) == 36
    for name, right in (("ours", lambda at: at < 12 or at % 2), ("theirs", lambda at: at % 2)):
        cells = "".join(f"{each.id},{int(bool(right(at)))}\n" for at, each in enumerate(bench.items))
        (tmp_path / f"{name}.csv").write_text("item,score\n" + cells)
    code = main(["gap", "ours.csv", "theirs.csv", "--margin", "0.3", "--clean", "clean.csv", "--json"])
    both = json.loads(capsys.readouterr().out)
    assert both["n"] == 48
    assert both["clean"]["n"] == 36
    assert both["gap"] == pytest.approx(6 / 48)
    assert both["clean"]["gap"] == 0
    assert code == {"NON_INFERIOR": 0, "INCONCLUSIVE": 11}[both["clean"]["verdict"]]
    main(["gap", "ours.csv", "theirs.csv", "--margin", "0.3", "--clean", "clean.csv"])
    assert "On items that were not trained on" in capsys.readouterr().out
    (tmp_path / "clean.csv").write_text("item,clean\nq00,1\n")
    assert main(["gap", "ours.csv", "theirs.csv", "--clean", "clean.csv"]) == 1
    assert "47 items are not in the list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a model"),
        (["dummy:", "-o", "x.csv"], "--output lists"),
        (["dummy:", "--alpha", "0.7"], "between 0 and 0.5"),
        (["dummy:", "--orders", "0"], "--orders is not at least 1"),
    ],
)
def test_what_does_not_fit_together_is_told(arguments, message, capsys):
    assert main(["contamination", "-b", "mmlu", *arguments]) == 2
    assert message in capsys.readouterr().err
