"""Programs in JavaScript and bash: honest ones pass, and no trick gets a pass or gets out."""

import shutil

import pytest

from parity.errors import SandboxError
from parity.marking.sandbox import Case, Limits, Outcome, Sandbox, interpreters
from parity.testing.hacks import BREACHED
from parity.testing.script_hacks import SCRIPT_HACKS

SHORT = Limits(cpu_s=1, wall_s=2.0)
COMMANDS = {"js": "node", "sh": "bash"}


def js_test(*pairs):
    lines = "".join(f"  assert.deepEqual(candidate({given}),{right});\n" for given, right in pairs)
    return f"const assert = require('node:assert');\n\n\nfunction test() {{\n  let candidate = f;\n{lines}}}\n\ntest();"


def sh_test(*pairs):
    lines = "".join(f'    [[ $(candidate {given}) = "{right}" ]]\n' for given, right in pairs)
    return f'candidate() {{\n    f "$@"\n}}\n\nset -e\nrun_test() {{\n{lines}}}\n\nrun_test'


TESTS = {
    "js": js_test(("[1, 2]", "3"), ("[]", "0"), ("[5]", "5")),
    "sh": sh_test(('"1 2"', "3"), ('""', "0"), ('"5"', "5")),
}


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "without"])
def sandbox(request):
    with Sandbox(2, namespaces=request.param) as opened:
        yield opened


def check(sandbox, language, program, test=None, limits=SHORT):
    if shutil.which(COMMANDS[language], path=interpreters.PATH) is None:
        pytest.skip(f"no {COMMANDS[language]} on this machine")
    try:
        return sandbox.check(Case(program, test or TESTS[language], "f", language=language, limits=limits))
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("language", "program", "outcome"),
    [
        ("js", "function f(xs) { return xs.reduce((a, b) => a + b, 0); }", Outcome.PASSED),
        ("js", "const f = (xs) => xs.reduce((a, b) => a + b, 0);", Outcome.PASSED),
        ("js", "function f(xs) { return 3; }", Outcome.WRONG),
        ("js", "function f(xs) { return xs.oops(); }", Outcome.RAISED),
        ("js", "function f(xs) {", Outcome.BROKEN),
        ("js", "function f(xs) { return f; }", Outcome.NOT_PLAIN),
        ("js", "process.exit(0)", Outcome.ENDED),
        ("js", "function f(xs) { for (;;); }", Outcome.TIMED_OUT),
        ("sh", "f() {\n  local t=0\n  for x in $1; do t=$((t + x)); done\n  echo $t\n}", Outcome.PASSED),
        ("sh", "f() { tr ' ' '\\n' <<<\"$1\" | awk '{ t += $1 } END { print t + 0 }'; }", Outcome.PASSED),
        ("sh", "f() { echo 3; }", Outcome.WRONG),
        ("sh", "f() {", Outcome.ENDED),
        ("sh", "exit 0", Outcome.ENDED),
        ("sh", "f() { sleep 9; }", Outcome.TIMED_OUT),
    ],
)
def test_what_came_of_a_program(sandbox, language, program, outcome):
    assert check(sandbox, language, program).outcome is outcome


@pytest.mark.parametrize(
    "value", ["[1, [2.5, null], 'x']", "({a: 1, b: [true, {c: 'd'}]})", "undefined", "[]", "'\\ud800'", "-1.5e300"]
)
def test_values_of_javascript_come_back_as_they_were(sandbox, value):
    assert check(sandbox, "js", f"function f(x) {{ return {value}; }}", js_test(("0", value))).passed
    assert check(sandbox, "js", "function f(x) { return x; }", js_test((value, value))).passed


@pytest.mark.parametrize("text", ["a b  c", "-n", "'", "*", "é ü"])
def test_texts_of_bash_come_back_as_they_were(sandbox, text):
    assert check(sandbox, "sh", 'f() { printf "%s\\n" "$1"; }', sh_test((f'"{text}"', text))).passed


@pytest.mark.slow
@pytest.mark.parametrize("language", ["js", "sh"])
def test_no_hack_passes_or_gets_out(sandbox, language):
    check(sandbox, language, "")
    make, given, other, said, likely = {
        "js": (js_test, "[2, 7]", "[3, 7]", f"'{BREACHED}'", ("0", "1", "true", "undefined", "[1]", "({x: 1})")),
        "sh": (sh_test, '"2 7"', '"3 7"', BREACHED, ("0", "", "1", "true")),
    }[language]
    cases = {}
    for number, hack in enumerate(hack for hack in SCRIPT_HACKS if hack.language == language and not hack.slow):
        cases[hack.name, "got out"] = Case(hack.of("f"), make((given, said)), "f", language=language, limits=SHORT)
        # No constant is right twice: what passes this has solved nothing.
        right = likely[number % len(likely)]
        test = make((given, right), (other, "'another'" if language == "js" else "another"))
        cases[hack.name, "passed"] = Case(hack.of("f"), test, "f", language=language, limits=SHORT)
    verdicts = dict(zip(cases, sandbox.check_all(cases.values()), strict=True))
    assert [key for key, verdict in verdicts.items() if verdict.passed] == []
    assert [key for key, verdict in verdicts.items() if verdict.outcome is Outcome.NO_VERDICT] == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ["js", "sh"])
def test_floods_end_and_the_next_program_is_checked(sandbox, language):
    check(sandbox, language, "")
    hacks = [hack for hack in SCRIPT_HACKS if hack.language == language and hack.slow]
    cases = [Case(hack.of("f"), TESTS[language], "f", language=language, limits=SHORT) for hack in hacks]
    verdicts = dict(zip([hack.name for hack in hacks], sandbox.check_all(cases), strict=True))
    assert [name for name, verdict in verdicts.items() if verdict.passed] == []
    honest = {"js": "const f = (xs) => xs.reduce((a, b) => a + b, 0);", "sh": "f() { echo $((${1/ /+} + 0)); }"}
    assert check(sandbox, language, honest[language]).passed


def test_what_is_not_here_is_refused_with_what_to_install(monkeypatch):
    with Sandbox(1) as sandbox:
        with pytest.raises(SandboxError, match="lua"):
            sandbox.check(Case("", "", "", language="lua"))
        monkeypatch.setattr(interpreters.shutil, "which", lambda *_, **__: None)
        with pytest.raises(SandboxError, match="Install node"):
            sandbox.check(Case("", "", "", language="js"))
