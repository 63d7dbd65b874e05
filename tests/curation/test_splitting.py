"""Splits: nothing alike on two sides, the same for the same rows, and no text of a benchmark in training."""

import errno
import random
from dataclasses import replace

import pytest

from parity.core.examples import Example, Origin, Turn
from parity.core.fingerprints import Fingerprints
from parity.curation.importing import read_rows
from parity.curation.near import clusters, shingles, signatures
from parity.curation.splitting import Shares, split_rows
from parity.errors import StoreError, UsageError

WORDS = ["".join(random.Random(number).choices("bcdfgaeiou", k=7)) for number in range(2000)]


def row(text, user="", session=""):
    return Example((Turn("user", text), Turn("assistant", "yes")), origin=Origin(user, session))


def some(count, seed=0):
    draw = random.Random(seed)
    return [row(" ".join(draw.choices(WORDS, k=40))) for _ in range(count)]


def edited(one, words, seed):
    draw = random.Random(seed)
    text = one.messages[0].content.split()
    for at in draw.sample(range(len(text)), words):
        text[at] = draw.choice(WORDS)
    return row(" ".join(text))


def test_near_duplicates_are_found_as_brute_force_finds_them():
    rows = some(150)
    rows += [edited(one, at % 5, at) for at, one in enumerate(rows)]
    leaders, sets = clusters(signatures(rows)), [shingles(one) for one in rows]
    near = [
        (a, b) for a in range(len(rows)) for b in range(a) if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= 0.8
    ]
    assert len(near) > 50
    assert sum(leaders[a] == leaders[b] for a, b in near) / len(near) >= 0.98
    assert len(set(leaders)) >= 150  # and the rest is kept apart


def sides(folder):
    return {
        name: [one for one in read_rows(folder / f"{name}.jsonl")] for name in ("train", "dev", "calibration", "test")
    }


def test_what_belongs_together_is_on_one_side_and_nothing_is_lost(tmp_path):
    rows = some(300)
    rows += [edited(one, 1, at) for at, one in enumerate(rows[:60])]
    rows += [row(f"{text.messages[0].content} more", "ann", f"s{at}") for at, text in enumerate(some(30, 5))]
    split_rows(rows, tmp_path, Shares(0.5, 0.2, 0.15, 0.15), Fingerprints())
    found = sides(tmp_path)
    assert sorted(one.id for part in found.values() for one in part) == sorted(one.id for one in rows)
    where = {one.id: name for name, part in found.items() for one in part}
    assert all(where[rows[at].id] == where[rows[300 + at].id] for at in range(60))
    assert len({where[one.id] for one in rows if one.origin.user == "ann"}) == 1
    assert all(found.values())


def test_the_same_rows_in_any_order_give_the_same_splits(tmp_path):
    rows = some(200)
    first = split_rows(rows, tmp_path / "a", Shares(), Fingerprints())
    split_rows(rows[::-1], tmp_path / "b", Shares(), Fingerprints())
    for name in first.rows:
        assert (tmp_path / "a" / f"{name}.jsonl").read_bytes() == (tmp_path / "b" / f"{name}.jsonl").read_bytes()
    assert first.leakage.near == 0.0
    other = split_rows(rows, tmp_path / "c", Shares(), Fingerprints(), seed=1)
    assert other.rows != first.rows


def test_a_split_that_is_interrupted_leaves_the_old_one_whole(tmp_path):
    split_rows(some(100), tmp_path, Shares(), Fingerprints())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stopped():
        yield from some(50, 7)
        raise KeyboardInterrupt

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(KeyboardInterrupt):
        split_rows(stopped(), tmp_path, Shares(), Fingerprints())
    with pytest.raises(StoreError, match="No space left"):
        split_rows(some(100, 7), tmp_path, Shares(), Fingerprints(), progress=full)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_side_that_is_no_longer_asked_for_leaves_no_file_of_rows_that_are_trained_now(tmp_path):
    split_rows(some(100), tmp_path, Shares(), Fingerprints())
    split_rows(some(100), tmp_path, Shares(0.8, 0.2, 0, 0), Fingerprints())
    assert {path.stem for path in tmp_path.glob("*.jsonl")} == {"train", "dev"}


def test_near_duplicates_are_listed_by_cluster(tmp_path):
    rows = some(50)
    twins = [edited(one, 1, at) for at, one in enumerate(rows[:9])]
    done = split_rows([*rows, *twins], tmp_path, Shares(), Fingerprints())
    listed = {frozenset(text.split()) for text in (tmp_path / "near_duplicates.txt").read_text().splitlines()}
    assert listed == {frozenset({one.id, twin.id}) for one, twin in zip(rows, twins, strict=False)}
    assert done.near_duplicates == 18


def test_answers_to_one_question_are_on_one_side(tmp_path):
    """Several draws for one prompt, or the turns of one chat logged one by one: long answers are not alike."""
    draw, questions = random.Random(0), some(60)
    rows = [
        Example((question.messages[0], Turn("assistant", " ".join(draw.choices(WORDS, k=300)))))
        for question in questions for _ in range(3)
    ]  # fmt: skip
    rows += [replace(one, messages=(*one.messages, *some(1, at)[0].messages)) for at, one in enumerate(rows[:60])]
    done = split_rows(rows, tmp_path, Shares(0.5, 0.2, 0.15, 0.15), Fingerprints())
    assert (done.groups, done.common_openings) == (60, 0)
    where = {one.id: name for name, part in sides(tmp_path).items() for one in part}
    asked = [(one.messages[0].content, where[one.id]) for one in rows]
    assert len({*asked}) == len(questions)


def test_an_opening_that_many_rows_share_is_no_question_and_neither_is_a_greeting(tmp_path):
    opening = Turn("user", "From now on answer every question of mine as a pirate would")
    hello = (Turn("user", "Hello there"), Turn("assistant", "Hello!"))
    long = [one.messages for one in some(120, 3)]
    rows = [Example((opening, Turn("assistant", "Aye."), *turns)) for turns in long[:60]]
    rows += [Example((*hello, *turns)) for turns in long[60:]]
    done = split_rows(rows, tmp_path, Shares(), Fingerprints())
    assert (done.groups, done.common_openings) == (120, 1)


ITEM = "A train leaves at 12:30 with 250 people on board, and 17 of them get off at the next stop. How many stay?"
COPIES = {
    "exact": ITEM,
    "cased": ITEM.upper(),
    "reformatted": ITEM.replace(" ", "\n  ").replace(",", " --").replace(".", "!"),
    "other digits": ITEM.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
    "other numbers": ITEM.replace("250", "1,999").replace("17", "3"),
    "inside": f"Please answer this. {ITEM} Think step by step.",
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_benchmark_is_taken_out_of_training_and_listed(tmp_path, name):
    prints, _ = Fingerprints.of([ITEM])
    copy = row(COPIES[name])
    done = split_rows([*some(60), copy], tmp_path, Shares(1, 0, 0, 0), prints)
    assert done.contaminated == (copy.id,)
    assert copy.id in (tmp_path / "contaminated.txt").read_text()
    assert done.rows == {"train": 60}


def test_short_items_count_as_a_whole_and_the_shortest_not_at_all():
    prints, short = Fingerprints.of(["What is the capital of France?", "Define entropy."])
    assert (prints.lengths, len(prints.hashes), short) == ((6,), 1, 1)
    assert prints.found_in("Tell me: what is the CAPITAL of France, please")
    assert not prints.found_in("What is the capital of Germany? What is the capital of")
    assert not prints.found_in("Define entropy.")


def test_shares_must_make_sense(tmp_path):
    with pytest.raises(UsageError, match="sum to 1"):
        Shares(0.5, 0.1, 0.1, 0.1)
    with pytest.raises(UsageError, match="empty"):
        split_rows(some(2), tmp_path, Shares(0.25, 0.25, 0.25, 0.25), Fingerprints())
