"""The sandbox: honest programs pass, wrong ones fail with the reason, and only plain values pass between processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from leftovers import processes_about, wait_until_gone
from parity.errors import SandboxError
from parity.marking.sandbox import Case, Limits, Outcome, Sandbox, confinement

ADD = "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'"
SHORT = Limits(cpu_s=1, wall_s=2.0)


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "without"])
def sandbox(request):
    with Sandbox(2, namespaces=request.param) as opened:
        yield opened


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("def add(a, b): return a + b", Outcome.PASSED),
        ("def add(a, b): return a - b", Outcome.WRONG),
        ("def add(a, b): return 3", Outcome.WRONG),
        ("def add(a, b): raise ValueError('no')", Outcome.RAISED),
        ("def add(a, b: return a", Outcome.BROKEN),
        ("import nothing_of_this_name", Outcome.BROKEN),
        ("x = 1", Outcome.RAISED),
        ("def add(a, b):\n while True: pass", Outcome.TIMED_OUT),
        ("import time\ndef add(a, b): time.sleep(60)", Outcome.TIMED_OUT),
        ("import os\ndef add(a, b): os._exit(0)", Outcome.ENDED),
        ("import ctypes\ndef add(a, b): ctypes.string_at(0)", Outcome.ENDED),
        ("def add(a, b): return 'x' * (1 << 25)", Outcome.NOT_PLAIN),
        ("def add(a, b): return lambda: a", Outcome.NOT_PLAIN),
    ],
)
def test_what_came_of_a_program(sandbox, program, outcome):
    verdict = sandbox.check(Case(program, ADD, "add", limits=SHORT))
    if program.endswith("a - b"):  # the second assert subtracts texts, the first already failed
        assert verdict.reason == "wrong answer: at line 1 of the test"
    assert verdict.outcome is outcome, verdict.reason


@pytest.mark.parametrize(
    ("returned", "test"),
    [
        ("(1, [2.5, None], {'a': {1, 2}}, b'x', True)", "== (1, [2.5, None], {'a': {1, 2}}, b'x', True)"),
        ("2 ** 90", "== 2 ** 90"),
        ("10 ** 6000", "== 10 ** 6000"),
        ("'\\ud800'", "== '\\ud800'"),
        ("float('inf')", "== float('inf')"),
        ("-0.0", ".hex() == '-0x0.0p+0'"),
        ("frozenset({1}), complex(1, 2), range(3)", "== (frozenset({1}), 1 + 2j, range(3))"),
        ("__import__('collections').Counter('aab')", "== {'a': 2, 'b': 1}"),
        ("__import__('decimal').Decimal('1.10')", "== __import__('decimal').Decimal('1.1')"),
        ("__import__('fractions').Fraction(1, 3)", "== __import__('fractions').Fraction(1, 3)"),
        ("__import__('datetime').date(2024, 2, 29)", "== __import__('datetime').date(2024, 2, 29)"),
        ("{'a': 1}.keys()", "== {'a'}"),
        ("(n * n for n in range(3))", ".__next__() == 0"),
        ("__import__('re').match('a', 'a')", "and True"),
        ("int", "is int"),
    ],
)
def test_values_keep_their_type_and_value(sandbox, returned, test):
    verdict = sandbox.check(Case(f"def f(): return {returned}", f"assert f() {test}", "f"))
    assert verdict.passed, verdict.reason


def test_an_answer_of_another_type_is_not_the_same(sandbox):
    assert not sandbox.check(Case("def f(): return (1, 2)", "assert f() == [1, 2]", "f")).passed
    assert not sandbox.check(Case("def f(): return map(abs, [1])", "assert f() == [1]", "f")).passed


def test_what_a_program_does_to_its_arguments_stays_with_it_unless_the_test_is_about_that(sandbox):
    program, test = "def f(a): a.append(3); a.sort(reverse=True)", "a = [1, 2]\nf(a)\nassert a == [3, 2, 1]"
    assert sandbox.check(Case(program, test, "f")).outcome is Outcome.WRONG
    assert sandbox.check(Case(program, test, "f", mutates=True)).passed
    emptied = "def f(a): a.clear(); return []"
    assert not sandbox.check(Case(emptied, "a = [2, 1]\nassert f(a) == sorted(a)", "f")).passed


def test_objects_of_the_program_can_be_handled_and_the_verdict_says_so(sandbox):
    program = "class Node:\n def __init__(self, v): self.v, self.left = v, None\ndef depth(n): return n.left.v"
    verdict = sandbox.check(Case(program, "root = Node(1)\nroot.left = Node(5)\nassert depth(root) == 5", "depth"))
    assert verdict.passed
    assert verdict.held_objects
    compared = sandbox.check(Case(program, "assert Node(1) == Node(1)", "depth"))
    assert compared.outcome is Outcome.NOT_PLAIN


def test_an_exception_the_test_expects_is_an_answer(sandbox):
    test = "try:\n    f()\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'why'"
    assert sandbox.check(Case("def f(): raise ValueError('why')", test, "f")).passed
    assert not sandbox.check(Case("def f(): raise KeyError('why')", test, "f")).passed


def test_ends_that_would_cut_a_loop_short_do_not(sandbox):
    test = "assert list(map(f, [1, 2])) == []"
    assert not sandbox.check(Case("def f(x): raise StopIteration", test, "f")).passed


def test_a_helper_of_the_prompt_is_the_benchmarks_own(sandbox):
    """Otherwise a program redefines what its answer is measured by."""
    setup = "def measure(x): return x\ndef f(x):\n    pass"
    program = "def measure(x): return 0\ndef f(x): return 1"
    assert not sandbox.check(Case(program, "assert measure(f(0)) == 0", "f", setup)).passed


def test_a_module_the_test_forgot_to_import_is_not_the_programs(sandbox):
    program = "class math:\n    isclose = staticmethod(lambda *a, **k: True)\ndef f(): return 2.0"
    assert not sandbox.check(Case(program, "assert math.isclose(f(), 1.0)", "f")).passed


def test_a_test_that_does_not_compile_is_no_failed_program(sandbox):
    verdict = sandbox.check(Case("def f(): return 1", "assert f( == 1", "f"))
    assert verdict.outcome is Outcome.NO_VERDICT


def test_a_program_cannot_turn_a_failed_check_into_no_verdict(sandbox):
    """Which would not be counted."""
    test = "assert f(f('x') + f('x')) == 'xx'"
    for returned in ("'x' * ((1 << 24) - 100)", "[{}] * (1 << 22)", "{(): [[]] * 10 ** 6}"):
        verdict = sandbox.check(Case(f"def f(x): return {returned}", test, "f", limits=SHORT))
        assert verdict.outcome not in (Outcome.PASSED, Outcome.NO_VERDICT), verdict.reason


def test_a_programs_words_move_no_cursor(sandbox):
    verdict = sandbox.check(Case("def f(): raise ValueError('\\x1b[2Jgone')", "f()", "f"))
    assert "gone" in verdict.detail
    assert verdict.detail.isprintable()


def test_the_same_random_numbers_every_time(sandbox):
    program = "import random\ndef f(): return random.random()"
    first, second = (sandbox.check(Case(program, "raise RuntimeError(f())", "f")) for _ in range(2))
    assert first == second


def test_every_check_begins_with_an_empty_scratch_folder(sandbox):
    program = "import os\ndef f():\n found = os.listdir('.')\n os.makedirs('a/b', 0)\n open('x', 'w')\n return found"
    for _ in range(2):
        assert sandbox.check(Case(program, "assert f() == []", "f")).passed


def test_verdicts_come_in_order_several_at_a_time(sandbox):
    cases = [Case(f"def f(): return {number}", f"assert f() == {number - number % 3 % 2}", "f") for number in range(40)]
    assert [verdict.passed for verdict in sandbox.check_all(cases)] == [number % 3 != 1 for number in range(40)]


def test_honest_libraries_and_asyncio_work(sandbox):
    program = """
import asyncio, sqlite3, decimal, hashlib, tempfile, json, statistics, threading, xml.etree.ElementTree
async def one(): return 1
def f():
    found = []
    worker = threading.Thread(target=lambda: found.append(2)); worker.start(); worker.join()
    with tempfile.NamedTemporaryFile("w", dir=".") as out: out.write("x")
    return [asyncio.run(one()), *found, sqlite3.connect(":memory:").execute("select 3").fetchone()[0]]
"""
    verdict = sandbox.check(Case(program, "assert f() == [1, 2, 3]", "f"))
    if "root" in sandbox.isolation.identity and not sandbox.isolation.namespaces:
        pytest.skip("the library lies in a folder that is root's alone")
    assert verdict.passed, verdict.reason


def test_the_isolation_is_told(sandbox):
    told = str(sandbox.isolation)
    assert "Landlock (ABI " in told
    assert "seccomp" in told
    assert ("namespaces (" in told) is bool(sandbox.isolation.namespaces)
    if os.getuid() == 0:
        assert "root given up" in told


def test_without_landlock_it_refuses_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(confinement.landlock, "version", lambda: 0)
    with pytest.raises(confinement.Refused, match=r"Linux 5\.13 or later"):
        confinement.check_base()
    monkeypatch.setattr(confinement.platform, "machine", lambda: "riscv64")
    with pytest.raises(confinement.Refused, match="x86_64 or aarch64"):
        confinement.check_base()


def test_a_canary_that_gets_out_closes_the_sandbox(monkeypatch):
    from parity.marking.sandbox import pool

    monkeypatch.setitem(pool.CANARIES, "a bird", "def escape(): return True")
    with pytest.raises(SandboxError, match="does not hold: a bird"):
        Sandbox(1)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_while_checking_nothing_is_left(how, open_folder):
    script = (
        "from parity.marking.sandbox import *\nimport sys\n"
        "with Sandbox(2) as s:\n print('ready', flush=True)\n"
        ' program = \'import time\\ndef f():\\n open("x", "w").write("y")\\n time.sleep(60)\'\n'
        " list(s.check_all([Case(program, 'f()', 'f')] * 8))"
    )
    environment = {**os.environ, "TMPDIR": str(open_folder)}
    victim = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    assert victim.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    assert len(processes_about(open_folder)) >= 2
    victim.send_signal(how)
    victim.wait(20)
    victim.stdout.close()
    wait_until_gone(open_folder)
