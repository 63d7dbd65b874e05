"""GSM8K, MATH, MMLU-Pro, BBH, AGIEval and IFEval: golden prompts, answers as models really write them, forms."""

import json

import pytest

from benchmarks.test_choices import asked_digest, written
from parity.benchmarks import agieval, bbh, gsm8k, hendrycks_math, ifeval, mmlu_pro
from parity.core.outputs import Generation
from parity.core.scores import Score
from parity.errors import DataError, UsageError
from shared import needs_shared


def marks(benchmark, text, *names):
    return [benchmark.protocols[name].mark(benchmark.items[0], Generation(text, "stop")).value for name in names]


@pytest.mark.slow
def test_gsm8k_asks_what_the_harness_asks():
    benchmark = gsm8k.load(needs_shared("reasoning_benchmarks", "gsm8k"))
    assert (len(benchmark.items), asked_digest(benchmark, "5-shot")) == (1319, "db6ee1cc449e93b2")


@pytest.mark.slow
def test_bbh_and_agieval_ask_what_the_harness_asks():
    hard = bbh.load(needs_shared("reasoning_benchmarks", "bbh"))
    assert len(hard.items) == 6511
    assert (asked_digest(hard, "3-shot"), asked_digest(hard, "3-shot-cot")) == ("836fe9b78db437a3", "409c0c48f28a50a9")
    exams = agieval.load(needs_shared("reasoning_benchmarks", "agieval", "v1"))
    assert (len(exams.items), asked_digest(exams)) == (7150, "fd26aee19fb6df40")


PROBLEM = gsm8k.Problem("How much?", "He pays 2*10=<<2*10=20>>20.\n#### 20")


def test_gsm8k_compares_text_where_the_harness_does_and_numbers_where_asked():
    benchmark = gsm8k.assemble([PROBLEM], [PROBLEM] * 6)
    names = ("5-shot", "5-shot-flexible", "5-shot-numeric")
    assert marks(benchmark, "so\n#### 20", *names) == [1, 1, 1]
    assert marks(benchmark, "#### 20.00", *names) == [0, 0, 1]
    assert marks(benchmark, "#### $20.", *names) == [0, 1, 1]
    assert marks(benchmark, "it is 20 dollars. #### 20\n\nNext: 7", *names) == [1, 0, 0]
    assert marks(benchmark, "no idea", *names) == [0, 0, 0]
    assert benchmark.protocols["5-shot"].mark(benchmark.items[0], Generation("no idea", "stop")).outside


def test_shots_follow_the_harnesss_draws():
    pool = [gsm8k.Problem(f"q{at}", f"a{at}") for at in range(50)]
    benchmark = gsm8k.assemble([PROBLEM] * 3, pool)
    prompts = [benchmark.protocols["5-shot"].request(item).prompt for item in benchmark.items]
    # random.Random(1234).sample of 50, three times five.
    assert [shot.split("\n")[0].removeprefix("Question: ") for shot in prompts[0].shots] == [
        "q49",
        "q28",
        "q7",
        "q0",
        "q5",
    ]
    assert len({prompt.shots for prompt in prompts}) == 3
    shorter = gsm8k.assemble([PROBLEM], pool).items
    assert shorter == benchmark.items[:1]


def test_other_worked_examples_are_refused(tmp_path):
    written(tmp_path, "cot_shots", {"question": "q", "target": "t"})
    with pytest.raises(DataError, match="not those of gsm8k_cot"):
        gsm8k.cot_shots(tmp_path)
    written(tmp_path, "minerva_shots", {"problem": "q", "solution": "t"})
    with pytest.raises(DataError, match="not those of minerva_math"):
        hendrycks_math.minerva_shots(tmp_path)


@pytest.mark.parametrize(
    ("solution", "answer", "right"),
    [
        (r"so $\boxed{\frac{1}{2}}$", r"\boxed{0.5}", 1),
        (r"so $\boxed{\frac{1}{2}}$", r"The answer is $\frac{2}{4}$.", 1),
        (r"so $\boxed{(3,4]}$", r"\boxed{(3, 4]}", 1),
        (r"so $\boxed{(3,4]}$", r"\boxed{[3,4]}", 0),
        (r"so $\boxed{x^2-1}$", r"\boxed{(x-1)(x+1)}", 1),
        (r"so $\boxed{12}$", r"\boxed{11} and \boxed{12}", 0),
        (r"so $\boxed{12}$", "I give up", 0),
    ],
)
def test_math_is_marked_by_equivalence(solution, answer, right):
    benchmark = hendrycks_math.assemble(
        "math", [{"problem": "?", "solution": solution, "level": "Level 3", "type": "A"}]
    )
    assert marks(benchmark, answer, "boxed") == [right]
    assert dict(benchmark.items[0].tags) == {"subject": "A", "level": "3"}


def pro_rows(**more):
    row = {"question_id": 7, "question": "Q?", "options": ["x", "y", "z"], "answer": "B", "category": "law", "src": "s"}
    return [{**row, **more}]


def test_mmlu_pro_asks_with_examples_of_the_category():
    worked = pro_rows(cot_content="A: Let's think step by step. Because. The answer is (B).")
    benchmark = mmlu_pro.assemble(pro_rows(), [mmlu_pro._worked(0, row) for row in worked])
    prompt = benchmark.protocols["lm-eval"].request(benchmark.items[0]).prompt
    question = "Question:\nQ?\nOptions:\nA. x\nB. y\nC. z\nAnswer: Let's think step by step."
    assert prompt.shots == (f"{question} Because. The answer is (B).\n\n",)
    assert prompt.question == question
    assert "about law. Think step" in prompt.preamble
    assert mmlu_pro.assemble(pro_rows()).default_protocol == "chat"


@pytest.mark.parametrize(
    ("text", "harness", "chat"),
    [
        ("so the answer is (B).", 1, 1),
        ("The answer is B", 1, 1),
        ("Answer: B", 0, 1),
        ("A is wrong, C is wrong, so it must be B", 0, 1),
        ("the answer is (C). No, the answer is (B)", 0, 0),
        ("the answer is **B**", 0, 1),
        ("the answer is (J)", 0, 0),
    ],
)
def test_mmlu_pro_reads_answers_by_either_rule(text, harness, chat):
    worked = [mmlu_pro.Worked("law", "")]
    assert marks(mmlu_pro.assemble(pro_rows(), worked), text, "lm-eval", "chat") == [harness, chat]


EXAMPLES = """canary
-----
Say which.

Q: One?
A: Let's think step by step.
Since one. So the answer is (A).

Q: Two?
A: Let's think step by step. Since two. So the answer is (B).
"""


def test_bbh_examples_are_read_with_and_without_their_reasoning():
    found = bbh.read_examples(EXAMPLES)
    assert found.description == "Say which.\n\n"
    assert found.direct == ("Q: One?\nA: (A)\n\n", "Q: Two?\nA: (B)\n\n")
    assert found.reasoned[1] == "Q: Two?\nA: Let's think step by step.\nSince two. So the answer is (B).\n\n"


def test_bbh_without_examples_can_be_chatted_with_only(tmp_path):
    (tmp_path / "navigate.json").write_text(json.dumps({"examples": [{"input": "Left?", "target": "No"}]}))
    benchmark = bbh.load(tmp_path, ("navigate",))
    assert list(benchmark.protocols) == ["chat"]
    assert marks(benchmark, "Because.\nSo the answer is **No**.", "chat") == [1]
    with pytest.raises(UsageError, match="Did you mean 'navigate'"):
        bbh.load(tmp_path, ("navigat",))


def test_agieval_asks_in_the_language_of_the_exam(tmp_path):
    english = {"passage": "P. ", "question": "Which?", "options": ["(A)x", "(B)y"], "label": "B"}
    chinese = {"passage": None, "question": "哪个？", "options": ["(A)x", "(B)y", "(C)z"], "label": ["A", "C", "。"]}
    written(tmp_path, "sat-en", english)
    written(tmp_path, "jec-qa-ca", chinese, {**chinese, "label": None})
    benchmark = agieval.load(tmp_path, ("sat-en", "jec-qa-ca"))
    law, sat = benchmark.items
    assert sat.question == "P. Q: Which? Answer Choices: (A)x (B)y\nA: Among A through B, the answer is"
    assert law.question == "问题：哪个？ 选项：(A)x (B)y (C)z\n答案：从A到C, 我们应选择"
    assert law.targets == ("A", "C")
    written(tmp_path, "sat-en", {**english, "label": "E"})
    with pytest.raises(DataError, match="no letter of 2 options"):
        agieval.load(tmp_path, ("sat-en",))


def test_ifeval_counts_a_prompt_when_every_instruction_is_followed(tmp_path):
    row = {
        "key": 1,
        "prompt": "Write.",
        "instruction_id_list": ["punctuation:no_comma", "detectable_format:number_highlighted_sections"],
        "kwargs": [{"unused": None}, {"num_highlights": 1}],
    }
    benchmark = ifeval.load(written(tmp_path, "input_data", row))
    names = ("strict", "loose", "strict-share", "loose-share")
    assert marks(benchmark, "plain *bold*", *names) == [1, 1, 1, 1]
    assert marks(benchmark, "Well, sure:\n*bold* it is", *names) == [0, 1, 0.5, 1]
    assert benchmark.protocol(None).mark(benchmark.items[0], Generation("a, b", "stop")) == Score(
        0.0, "not punctuation:no_comma, not detectable_format:number_highlighted_sections"
    )
    with pytest.raises(DataError, match="no instruction 'punctuation:no_coma'"):
        ifeval.load(written(tmp_path, "input_data", {**row, "instruction_id_list": ["punctuation:no_coma"] * 2}))


@pytest.mark.slow
def test_every_instruction_of_ifeval_is_known():
    benchmark = ifeval.load(needs_shared("reasoning_benchmarks", "ifeval"))
    assert len(benchmark.items) == 541
    assert sum(len(ifeval.instructions_of(item)) for item in benchmark.items) == 834
