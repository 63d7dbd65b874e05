"""Rows of the shared data about code, and small problems of the same form that may stand in the repository."""

import gzip
import json

from shared import needs_shared

HUMAN_EVAL = [
    {
        "task_id": "Own/0",
        "prompt": 'def double(x):\n    """Twice x."""\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-1.5) == -3.0\n",
    },
    {
        "task_id": "Own/1",
        "prompt": 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Sum."""\n',
        "entry_point": "total",
        "canonical_solution": "    return sum(xs)\n",
        "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
    },
]
MBPP = [
    {
        "task_id": number, "text": "Add two numbers.", "code": "def add(a, b):\r\n    return a + b",
        "test_setup_code": "",
        "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"], "challenge_test_list": [],
    }
    for number in (2, 3, 4, 11, 12)
]  # fmt: skip
PLUS = {
    "task_id": "Own/2",
    "prompt": 'def half(x):\n    """Half of x."""\n',
    "entry_point": "half",
    "canonical_solution": "    return x / 2\n",
    "base_input": [[1], [2.5]],
    "plus_input": [[1e9], [-3]],
    "atol": 1e-6,
}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(*parts):
    path = needs_shared(*parts)
    raw = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()]
