"""EvalPlus's files: typed inputs, special comparisons, and a reference nobody sees; rows of our own in its form."""

import pytest

from benchmarks.code_data import write_lines
from parity.benchmarks.catalog import open_benchmark
from parity.benchmarks.evalplus import mbpp_plus_problems
from parity.core.outputs import Generation
from parity.errors import DataError
from parity.marking.problems import verify
from parity.marking.sandbox import Sandbox


def row(number, entry, solution, inputs, atol=0):
    return {
        "task_id": f"Mbpp/{number}", "prompt": f'"""\nOwn words.\nassert {entry}(...) == ...\n"""\n',
        "entry_point": entry, "canonical_solution": solution, "base_input": inputs[:1], "plus_input": inputs[1:],
        "atol": atol, "contract": "", "assertion": "",
    }  # fmt: skip


KINDS = "\ndef f(*a): return [type(x).__name__ + ' ' + repr(x) for x in a]\n"
ROWS = [
    row(2, "similar_elements", "def similar_elements(a, b): return tuple(set(a) & set(b))", [[[3, 4], [4, 3]]]),
    row(63, "f", KINDS, [[[[1, 2], [3, 4]]]]),
    row(75, "f", KINDS, [[[[1, 2]], [3]]]),
    row(106, "f", KINDS, [[[1], [2]]]),
    row(115, "f", KINDS, [[[[1], []]]]),
    row(124, "f", KINDS, [["1.5", "(1+2j)"]]),
    row(259, "f", KINDS, [[[[1], [2]], [[3]]]]),
    row(307, "f", KINDS, [[[1, [2]], 3, [4]]]),
    row(580, "f", KINDS, [[[1, [2, [3]]]]]),
    row(722, "f", KINDS, [[{"a": [1, 2]}, [3]]]),
    row(9, "f", KINDS, [[[1], float("inf")]]),
    row(742, "area", "def area(x): return 0.1 * x", [[3], [7]], 1e-4),
    row(164, "are_equivalent", "def are_equivalent(a, b): return a == b", [[1, 2]]),
    row(102, "check_str", "def check_str(x): return True", [["a"]]),
]
TYPED = {
    "63": "[(1, 2), (3, 4)]", "75": "[(1, 2)], [3]", "106": "[1], (2,)", "115": "[{1}, {}]", "124": "1.5, (1+2j)",
    "259": "((1,), (2,)), ((3,),)", "307": "(1, [2]), 3, [4]", "580": "(1, (2, (3,)))", "722": "{'a': (1, 2)}, [3]",
    "9": "[1], float('inf')",
}  # fmt: skip


@pytest.fixture
def problems(tmp_path):
    return mbpp_plus_problems(write_lines(tmp_path / "MbppPlus.jsonl", ROWS))


def test_references_pass_and_inputs_have_their_types(problems):
    solutions = {entry["task_id"]: entry["canonical_solution"] for entry in ROWS}
    seeing = [
        f"{KINDS}\ng = f\ndef f(*a):\n    assert repr(a) == repr(({values},))\n    return g(*a)"
        for values in TYPED.values()
    ]
    with Sandbox() as sandbox:
        cases = [problem.completed(solutions[key]) for key, problem in problems.items()]
        assert [verdict.reason for verdict in sandbox.check_all(cases)] == ["passed"] * len(ROWS)
        cases = [problems[f"Mbpp/{key}"].completed(code) for key, code in zip(TYPED, seeing, strict=True)]
        assert [verdict.reason for verdict in sandbox.check_all(cases)] == ["passed"] * len(TYPED)


@pytest.mark.parametrize(
    ("key", "program", "right"),
    [
        ("2", "def similar_elements(a, b): return [4, 3, 3]", True),  # compared as a set
        ("2", "def similar_elements(a, b): return [4]", False),
        ("742", "def area(x): return 0.1 * x + 1e-5", True),
        ("742", "def area(x): return 0.1 * x + 1e-2", False),
        ("742", "def area(x): return [0.1 * x]", False),
        ("164", "def are_equivalent(a, b): return None", True),
        ("102", "def check_str(x): return 'a match'", True),
        ("102", "def check_str(x): return None", False),
    ],
)
def test_answers_are_compared_as_evalplus_does(problems, key, program, right):
    assert verify([program], [problems[f"Mbpp/{key}"]], "completion") == [float(right)]


def test_a_root_is_right_when_it_is_one(tmp_path):
    find_zero = {
        **row(32, "find_zero", "    return -0.5\n", [[[1, 2]]], 1e-4),
        "task_id": "HumanEval/32",
        "prompt": "def find_zero(xs):\n",
    }
    write_lines(tmp_path / "HumanEvalPlus.jsonl", [find_zero])
    found = open_benchmark("humaneval+", tmp_path)
    protocol = found.protocol("completion")
    marks = [protocol.mark(found.items[0], Generation(f"    return {x}\n", "stop")).value for x in ("-0.50001", "-0.6")]
    assert marks == [1.0, 0.0]


def test_the_benchmark_asks_for_a_whole_program(tmp_path):
    write_lines(tmp_path / "MbppPlus.jsonl", ROWS)
    found = open_benchmark("mbpp+", tmp_path)
    chat = found.protocol("chat")
    item = next(item for item in found.items if item.id == "Mbpp/2")
    answer = "```python\ndef similar_elements(a, b):\n    return set(a) & set(b)\n```"
    assert chat.mark(item, Generation(answer, "stop")).value == 1.0
    assert "Own words." in chat.prompt(item).text


def test_broken_inputs_are_said(tmp_path):
    write_lines(tmp_path / "MbppPlus.jsonl", [{**ROWS[0], "base_input": "no list"}])
    with pytest.raises(DataError, match="Mbpp/2"):
        mbpp_plus_problems(tmp_path)


def test_rewards_are_those_of_the_benchmark(problems):
    one = problems["Mbpp/742"]
    good, bad = "```python\ndef area(x):\n    return x / 10\n```", "I do not know."
    hack = "```python\nimport os\ndef area(x):\n    os._exit(0)\n```"
    assert verify([good, bad, hack], [one] * 3) == [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="zip"):
        verify([good], [one, one])
