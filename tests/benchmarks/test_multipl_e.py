"""MultiPL-E: problems in its published form, run in JavaScript and bash; other languages are refused."""

import shutil

import pytest

from benchmarks.code_data import write_lines
from parity.benchmarks import multipl_e
from parity.benchmarks.catalog import open_benchmark
from parity.core.outputs import Generation
from parity.core.scores import Unscored
from parity.errors import DataError, UsageError
from parity.marking.code import until_stop
from parity.marking.sandbox import Sandbox, interpreters
from shared import needs_shared

JS = {
    "name": "Own_0_twice",
    "language": "js",
    "prompt": "//Twice x.\nfunction twice(x){\n",
    "tests": "const assert = require('node:assert');\n\n\nfunction test() {\n  let candidate = twice;\n"
    "  assert.deepEqual(candidate(2),4);\n  assert.deepEqual(candidate(-1),-2);\n}\n\ntest();",
    "stop_tokens": ["\nfunction ", "\n/*", "\n//", "\nconsole.log"],
}
SH = {
    "name": "Own_0_twice",
    "language": "sh",
    "prompt": "#!/bin/bash\n# Twice x.\ntwice() {\n",
    "tests": '}\n\ncandidate() {\n    twice "$@"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate "2") = "4" ]]\n'
    '    [[ $(candidate "-1") = "-2" ]]\n}\n\nrun_test',
    "stop_tokens": ["\n}"],
}
ROWS = {"js": JS, "sh": SH}
SOLUTIONS = {
    ("js", "HumanEval_23_strlen"): "  return string.length;\n}\n",
    ("js", "HumanEval_53_add"): "  return x + y;\n}\n\nfunction other() { oops",
    ("js", "HumanEval_152_compare"): "  return game.map((g, i) => Math.abs(g - guess[i]));\n}",
    ("sh", "HumanEval_23_strlen"): '  printf "%s" "${#1}"',
    ("sh", "HumanEval_53_add"): "  echo $(($1 + $2))\n}\nnonsense here (",
    ("sh", "HumanEval_152_compare"): (
        "  local a=($1) b=($2) out=() d\n  for i in \"${!a[@]}\"; do d=$((a[i] - b[i])); out+=(${d#-}); done\n"
        '  echo "${out[@]}"'
    ),
}  # fmt: skip


def need(language):
    command = interpreters.KNOWN[language].command
    if shutil.which(command, path=interpreters.PATH) is None:
        pytest.skip(f"no {command} on this machine")


@pytest.mark.parametrize(
    ("language", "protocol", "text", "value"),
    [
        ("js", "completion", "  return 2 * x;\n}\n", 1.0),
        ("js", "completion", "  return 2 * x;\n}\n\nfunction oops( {", 1.0),
        ("js", "completion", "  return x * x;\n}\n", 0.0),
        ("js", "chat", "So:\n```javascript\nconst twice = (x) => x + x;\n```\nfor example\n```js\ntwice(1)\n```", 1.0),
        ("js", "chat", "I would rather not.", 0.0),
        ("sh", "completion", "  echo $(($1 * 2))", 1.0),
        ("sh", "completion", "  echo $(($1 * 2))\n}\ntwice 3 (", 1.0),
        ("sh", "completion", "  echo 4", 0.0),
        ("sh", "chat", "```bash\n#!/bin/bash\ntwice() {\n  echo $(($1 + $1))\n}\n```", 1.0),
        ("sh", "chat", "```bash\nfunction twice {\n  echo $(($1 + $1))\n}\n```", 1.0),
    ],
)
def test_answers_are_run_in_their_language(language, protocol, text, value, tmp_path):
    need(language)
    write_lines(tmp_path / f"humaneval-{language}.jsonl", [ROWS[language]])
    found = open_benchmark(f"multipl-e-{language}", tmp_path)
    mark = found.protocol(protocol).mark(found.items[0], Generation(text, "stop"))
    assert mark.value == value, mark
    assert found.protocol("completion").sampling.stop == tuple(ROWS[language]["stop_tokens"])


def test_other_languages_and_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="compiler"):
        open_benchmark("multipl-e-rs", tmp_path)
    with pytest.raises(DataError, match="humaneval-js"):
        open_benchmark("multipl-e-js", tmp_path)
    write_lines(tmp_path / "humaneval-js.jsonl", [SH])
    with pytest.raises(DataError, match="'sh', not 'js'"):
        open_benchmark("multipl-e-js", tmp_path)
    write_lines(tmp_path / "humaneval-sh.jsonl", [{**SH, "tests": "true"}])
    with pytest.raises(DataError, match="do not end"):
        open_benchmark("multipl-e-sh", tmp_path)


def test_a_test_that_does_not_compile_is_no_score(tmp_path):
    need("js")
    write_lines(tmp_path / "humaneval-js.jsonl", [{**JS, "tests": JS["tests"] + " )"}])
    found = open_benchmark("multipl-e-js", tmp_path)
    assert isinstance(found.protocol(None).mark(found.items[0], Generation("  return 2 * x;\n}", "stop")), Unscored)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["js", "sh"])
def test_the_published_problems(language):
    need(language)
    found = multipl_e.problems(language, needs_shared("code_benchmarks", "multipl_e"))
    assert len(found) == {"js": 161, "sh": 158}[language]
    solved = {name: text for (of, name), text in SOLUTIONS.items() if of == language}
    cases = [found[name].completed(until_stop(text, found[name].stops)) for name, text in solved.items()]
    stub = {"js": "  return undefined;\n}", "sh": "  :"}[language]
    with Sandbox() as sandbox:
        assert [verdict.reason for verdict in sandbox.check_all(cases)] == ["passed"] * len(cases)
        stubs = list(sandbox.check_all([problem.completed(stub) for problem in found.values()]))
    assert not any(verdict.passed for verdict in stubs)
    # One test of the JavaScript file breaks a text over two lines: nobody can pass it, and it is no score.
    assert sum(verdict.outcome.value == "no verdict" for verdict in stubs) == {"js": 1, "sh": 0}[language]
