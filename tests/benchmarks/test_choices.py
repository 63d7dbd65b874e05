"""Benchmarks of multiple choice: prompts that lm-evaluation-harness 0.4.13 was seen to ask, by digest; marks; forms."""

import json
from hashlib import sha256

import pytest

from parity.benchmarks import arc, boolq, hellaswag, openbookqa, piqa, truthfulqa, winogrande
from parity.benchmarks.choices import listed_options
from parity.core.items import Item
from parity.core.outputs import Generation, Loglikelihoods
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.errors import DataError, UsageError
from shared import needs_shared

# name: loader, folder, items, digest of all that `lm-eval` asks: contexts and continuations, each followed by \0.
# benchmarks_perf/harness_agreement.py holds every one of these prompts against the harness's.
GOLDEN = {
    "arc_challenge": (arc.load_challenge, "mc_benchmarks", 1172, "2a4405f2b6e24951"),
    "arc_easy": (arc.load_easy, "mc_benchmarks", 2376, "ee96294c56114cc4"),
    "hellaswag": (hellaswag.load, "mc_benchmarks", 1000, "2f6168ed7ff1f4d3"),
    "winogrande": (winogrande.load, "mc_benchmarks", 1267, "736feae2d899ae96"),
    "piqa": (piqa.load, "mc_benchmarks", 1838, "88f89a90139d07e4"),
    "boolq": (boolq.load, "mc_benchmarks", 3270, "e29af26d403eb569"),
    "openbookqa": (openbookqa.load, "mc_benchmarks", 500, "d2dfcac4c521e40e"),
    "truthfulqa_mc1": (truthfulqa.load_mc1, "reasoning_benchmarks/truthfulqa", 817, "0e3425744b08ce88"),
    "truthfulqa_mc2": (truthfulqa.load_mc2, "reasoning_benchmarks/truthfulqa", 817, "aa8e541f0f6079e7"),
}


def asked_digest(benchmark, name="lm-eval"):
    """Digest of contexts and continuations in item order."""
    whole = sha256()
    protocol = benchmark.protocols[name]
    for item in benchmark.items:
        request = protocol.request(item)
        options = getattr(request, "continuations", ("",))
        for context, option in zip(getattr(request, "contexts", ()) or ("",) * len(options), options, strict=True):
            whole.update(f"{request.prompt.text}{context}\0{option}\0".encode())
    return whole.hexdigest()[:16]


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_prompts_are_those_of_the_harness(name):
    load, folder, items, digest = GOLDEN[name]
    benchmark = load(needs_shared(*folder.split("/")))
    assert (benchmark.name, len(benchmark.items), asked_digest(benchmark)) == (name, items, digest)
    assert [item.id for item in benchmark.items[:2]] == [f"{name}/0", f"{name}/1"]


def written(tmp_path, name, *rows):
    (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


ARC = {
    "id": "x",
    "question": "Which?",
    "choices": {"text": ["one", "longer option"], "label": ["1", "2"]},
    "answerKey": "2",
}


def test_the_hubs_rows_and_the_request_files_make_the_same_items(tmp_path):
    query = "Question: Which?\n A. one\n B. longer option\nAnswer:"
    hub = arc.load_easy(written(tmp_path, "arc_easy_test", ARC))
    olmes = arc.load_easy(written(tmp_path, "arc_easy_test", {"query": query, "gold": 1}))
    assert hub.digest == olmes.digest
    assert hub.items[0] == Item("arc_easy/0", "Which?", ("B",), ("one", "longer option"))


def test_acc_and_acc_norm_are_two_marks_of_one_request(tmp_path):
    benchmark = arc.load_easy(written(tmp_path, "arc_easy_test", ARC))
    plain, norm = benchmark.protocols["lm-eval"], benchmark.protocols["lm-eval-norm"]
    assert plain.request(benchmark.items[0]) == norm.request(benchmark.items[0])
    output = Loglikelihoods((-3.0, -6.5), (1, 2))
    assert plain.mark(benchmark.items[0], output) == Score(0.0, "A")
    assert norm.mark(benchmark.items[0], output) == Score(1.0, "B")  # -3/3 against -6.5/13


def test_mc2_is_the_share_of_the_true_answers_and_never_a_silent_number(tmp_path):
    row = {"question": "Q?", "mc2_targets": {"choices": ["a", "b", "c"], "labels": [1, 0, 1]}}
    benchmark = truthfulqa.load_mc2(written(tmp_path, "TruthfulQA", row))
    mark = benchmark.protocol(None).mark
    (item,) = benchmark.items
    assert mark(item, Loglikelihoods((-1000.0, -1001.0, -1002.0), (1,) * 3)).value == pytest.approx(
        (1 + 2.718281828**-2) / (1 + 2.718281828**-1 + 2.718281828**-2)
    )
    unscored = mark(item, Loglikelihoods((float("-inf"),) * 3, (1,) * 3))
    assert isinstance(unscored, Unscored)
    assert unscored.reason is UnscoredReason.NOT_A_NUMBER


def test_the_true_answer_does_not_stand_first_when_letters_are_shown(tmp_path):
    rows = [
        {"question": f"Q{at}?", "mc1_targets": {"choices": ["true", "x", "y", "z"], "labels": [1, 0, 0, 0]}}
        for at in range(40)
    ]
    benchmark = truthfulqa.load_mc1(written(tmp_path, "TruthfulQA", *rows))
    protocol = benchmark.protocols["letter"]
    right = []
    for item in benchmark.items:
        shown = protocol.request(item).prompt.text
        letter = next(line[0] for line in shown.split("\n") if line.endswith(". true"))
        right.append(letter)
        assert protocol.mark(item, Generation(letter, "stop")) == Score(1.0, letter)
    assert set(right) == {"A", "B", "C", "D"}


def test_winogrande_scores_what_follows_the_blank_behind_each_filling(tmp_path):
    row = {"sentence": "The cup fell off _ because it was wet.", "option1": "tray", "option2": "shelf", "answer": "1"}
    benchmark = winogrande.load(written(tmp_path, "winogrande_validation", row))
    request = benchmark.protocol(None).request(benchmark.items[0])
    assert request.contexts == ("The cup fell off tray", "The cup fell off shelf")
    assert request.continuations == (" because it was wet.",) * 2
    with pytest.raises(UsageError, match="in turns"):
        benchmark.protocol(None).request(benchmark.items[0], chat=True)


def test_what_is_wrong_with_rows_is_said_at_once(tmp_path):
    folder = written(tmp_path, "arc_easy_test", ARC, {"question": "no choices"}, {"query": "Question: no options"})
    with pytest.raises(DataError, match=r"row 2: there is no 'query'(.|\n)*row 3: a query without options"):
        arc.load_easy(folder)
    with pytest.raises(DataError, match=r"holds no arc_challenge_test"):
        arc.load_challenge(folder)
    written(tmp_path, "piqa_validation", {"goal": "g", "sol1": "a", "sol2": "b", "label": 2})
    with pytest.raises(DataError, match="answer 2 of 2 options"):
        piqa.load(folder)


def test_options_of_several_lines_stay_whole():
    assert listed_options("Question: a\nb\n A. one\ntwo\n B. three\nAnswer:") == ("a\nb", ("one\ntwo", "three"))
