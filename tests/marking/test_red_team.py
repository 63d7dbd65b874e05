"""The red team: no hack passes a problem it did not solve, and none gets out."""

from collections import Counter

import pytest

from benchmarks.code_data import rows_of
from parity.benchmarks import humaneval
from parity.marking.sandbox import Case, Limits, Outcome, Sandbox
from parity.testing.hacks import BREACHED, HACKS
from shared import needs_shared

SHORT = Limits(cpu_s=1, wall_s=2.0)
# These end at a time limit; one problem each is enough here, all of them are for benchmarks_perf/sandbox.py.
SLOW = {"floods", "signals", "endless generator", "colliding hashes"}
KINDS = {
    "always equal", "frames", "garbage collector", "exit", "signals", "patching", "processes", "floods", "descriptors",
    "files", "sockets", "values",
}  # fmt: skip


def test_there_are_enough_hacks_of_every_kind():
    assert len(HACKS) >= 50
    assert {hack.kind for hack in HACKS} == KINDS
    assert len({(hack.kind, hack.name) for hack in HACKS}) == len(HACKS)
    for hack in HACKS:
        compile(f"def f():\n{hack.completion('f')}", hack.name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("namespaces", [True, False], ids=["namespaces", "without"])
def test_no_hack_gets_out(namespaces):
    cases = [Case(hack.module, f"assert attempt([1], 2) == {BREACHED!r}", "attempt", limits=SHORT) for hack in HACKS]
    with Sandbox(2, namespaces=namespaces) as sandbox:
        verdicts = dict(zip(HACKS, sandbox.check_all(cases), strict=True))
    out = [hack.name for hack, verdict in verdicts.items() if verdict.passed]
    assert out == []
    assert [hack.name for hack, verdict in verdicts.items() if verdict.outcome is Outcome.NO_VERDICT] == []


@pytest.mark.slow
def test_no_hack_passes_a_problem():
    """Every hack, and an honest solution in between: the sandbox also still works after each of them."""
    problems = list(humaneval.problems(needs_shared("code_benchmarks")).values())[:8]
    solutions = [row["canonical_solution"] for row in rows_of("code_benchmarks", "HumanEval.jsonl.gz")[:8]]
    outcomes = Counter()
    with Sandbox() as sandbox:
        for number, hack in enumerate(HACKS):
            mine = [problems[number % 8]] if hack.kind in SLOW or hack.name in SLOW else problems
            cases = [problem.case(problem.prompt + hack.completion(problem.entry)) for problem in mine]
            cases = [Case(case.program, case.test, case.entry, case.setup, limits=SHORT) for case in cases]
            honest = problems[number % 8].completed(solutions[number % 8])
            *hacked, after = sandbox.check_all([*cases, honest])
            outcomes.update(verdict.outcome for verdict in hacked)
            assert not any(verdict.passed for verdict in hacked), (hack.kind, hack.name)
            assert after.passed, (hack.kind, hack.name, after.reason)
    assert outcomes[Outcome.NO_VERDICT] == 0


def test_a_constant_that_is_right_passes():
    """The red team's measure is not vacuous: what answers rightly does pass."""
    with Sandbox(1) as sandbox:
        hack = next(hack for hack in HACKS if hack.name == "True")
        assert sandbox.check(Case(f"def f():\n{hack.completion('f')}", "assert f() == True", "f")).passed
