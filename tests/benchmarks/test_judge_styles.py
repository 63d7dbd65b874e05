"""The authors' own judge prompts: filled in and read as FastChat and AlpacaEval do."""

import json

import pytest

from parity.benchmarks.judge_styles import Pair, Round, alpaca_eval_styles, fastchat_styles
from parity.benchmarks.judging import load_alpaca, load_mt_bench, pairwise_benchmark
from parity.core.outputs import Generation, Loglikelihoods
from parity.core.scores import Unscored
from parity.errors import DataError
from shared import needs_shared

TEMPLATE = (
    "<|im_start|>system\nYou rank. {x}\n<|im_end|>\n<|im_start|>user\n"
    '{"instruction": """{instruction}"""} {"m": """{output_1}"""} {"M": """{output_2}"""}\n<|im_end|>\n'
)
PAIR = Pair("p", "Q {output_1}?", "ours", "theirs")


def test_fastchat_fills_its_own_prompts():
    path = needs_shared("judge_and_preference", "mt_bench", "judge_prompts.jsonl")
    pair, single = fastchat_styles(path)
    prompts = {row["name"]: row for row in map(json.loads, path.read_text().splitlines())}
    wanted = prompts["pair-v2"]["prompt_template"].format(question="Q {output_1}?", answer_a="theirs", answer_b="ours")
    assert pair.prompt(PAIR, False).text == wanted
    assert pair.system(PAIR) == prompts["pair-v2"]["system_prompt"]
    maths = Pair("p", "", "", "", rounds=(Round("1?", "a1", "b1", "r1"), Round("2?", "a2", "b2", "r2")))
    slots = {"question_1": "1?", "question_2": "2?", "ref_answer_1": "r1", "ref_answer_2": "r2"}
    told = {"answer_a_1": "a1", "answer_a_2": "a2", "answer_b_1": "b1", "answer_b_2": "b2"}
    assert pair.prompt(maths, True).text == prompts["pair-math-v1-multi-turn"]["prompt_template"].format(
        **slots, **told
    )
    wanted = prompts["single-math-v1-multi-turn"]["prompt_template"].format(**slots, answer_1="b1", answer_2="b2")
    assert single.prompt(maths, False).text == wanted


def test_fastchat_reads_the_first_letter_that_occurs():
    pair, single = fastchat_styles(needs_shared("judge_and_preference", "mt_bench", "judge_prompts.jsonl"))
    assert pair.read("Either [[B]] or [[A]].", True).value == 1
    assert pair.read("[[C]]", True).value == 0.5
    assert isinstance(pair.read("A", True), Unscored)
    assert single.read("Rating: [[8]] of [[10]]", True).value == pytest.approx(7 / 9)
    assert single.read("Rating: [8.5]", True).value == pytest.approx(7.5 / 9)


def test_fastchat_prompts_are_protocols_of_mt_bench(tmp_path):
    source = needs_shared("judge_and_preference", "mt_bench")
    (tmp_path / "judge_prompts.jsonl").write_bytes((source / "judge_prompts.jsonl").read_bytes())
    rows = [json.loads(line) for line in (source / "question.jsonl").read_text().splitlines()]
    (tmp_path / "question.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    references = (source / "reference_answer_gpt-4.jsonl").read_text()
    (tmp_path / "reference.jsonl").write_text(references)
    for name in ("candidate", "baseline"):
        answers = [
            {"question_id": row["question_id"], "choices": [{"turns": [f"{name} 1", f"{name} 2"]}]} for row in rows
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    benchmark = load_mt_bench(tmp_path)
    assert len(benchmark.items) == 80 * 2 * 2
    protocol = benchmark.protocol("mt-bench")
    systems = {tag.value: set() for item in benchmark.items for tag in item.tags if tag.kind == "category"}
    for item in benchmark.items:
        request = protocol.request(item, chat=True)
        assert [message.role for message in request.prompt.messages] == ["system", "user"]
        category = next(tag.value for tag in item.tags if tag.kind == "category")
        systems[category].add("reference answer" in request.prompt.messages[0].content)
    # FastChat's list of categories that are judged with a reference.
    assert {name for name, found in systems.items() if found == {True}} == {"math", "reasoning", "coding"}
    assert len(benchmark.items_of(benchmark.protocol("mt-bench-single"))) == 160


def test_a_broken_file_of_prompts_says_what_lacks(tmp_path):
    path = tmp_path / "judge_prompts.jsonl"
    path.write_text('{"name": "pair-v2", "system_prompt": "s", "prompt_template": "t"}\n')
    with pytest.raises(DataError, match="pair-v2-multi-turn"):
        fastchat_styles(path)
    path.write_text("{")
    with pytest.raises(DataError, match="not FastChat's file of prompts"):
        fastchat_styles(path)
    path.write_text("{instruction} {output_1}")
    with pytest.raises(DataError, match=r"\{output_2\}"):
        alpaca_eval_styles(path)


def test_alpaca_eval_names_or_weighs(tmp_path):
    (tmp_path / "judge_prompt.txt").write_text(TEMPLATE)
    named, weighted = alpaca_eval_styles(tmp_path / "judge_prompt.txt")
    shown = named.prompt(PAIR, True).text
    assert shown == '{"instruction": """Q {output_1}?"""} {"m": """ours"""} {"M": """theirs"""}'
    assert named.system(PAIR) == "You rank. {x}"
    assert (named.read("m", True).value, named.read("M", False).value) == (1, 1)
    assert isinstance(named.read("Model m", True), Unscored)
    benchmark = pairwise_benchmark("pairs", [PAIR], (), (weighted,))
    first, second = benchmark.items
    protocol = benchmark.protocol(None)
    assert protocol.request(first, chat=True).continuations == ("m", "M")
    marks = [protocol.mark(item, Loglikelihoods((-0.2, -1.8), (1, 1))).value for item in (first, second)]
    assert marks[0] == pytest.approx(1 / (1 + 2.718281828**-1.6), abs=1e-6)
    assert sum(marks) == pytest.approx(1)


def test_alpaca_eval_finds_its_template_beside_the_answers(tmp_path):
    (tmp_path / "judge_prompt.txt").write_text(TEMPLATE)
    for name in ("candidate", "baseline"):
        (tmp_path / f"{name}.json").write_text(json.dumps([{"instruction": "Hi.", "output": name}]))
    benchmark = load_alpaca(tmp_path)
    assert set(benchmark.protocols) == {"pairwise", "rubric", "alpaca-eval", "alpaca-eval-weighted"}
    assert benchmark.protocol("alpaca-eval").mark(benchmark.items[1], Generation("M", "stop")).value == 1
