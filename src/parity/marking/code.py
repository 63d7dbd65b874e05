"""From what a model writes to a program, and from a program to a score.

Two readings: of a base model, whose text goes on where the prompt ends until it begins something else; and of a chat
model, whose code stands in fenced blocks among prose. Refuses to mend code: what is missing stays missing.
"""

import atexit
import re
from threading import Lock

from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.marking.sandbox import Case, Outcome, Sandbox, Verdict

# Where a completion ends. `codex` is the rule of Chen et al. 2021, which also ends at legal code such as a comment
# without indentation; `function` ends where the function is over.
STOPS: dict[str, tuple[str, ...]] = {
    "codex": ("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
    "function": ("\ndef ", "\nclass ", "\nif __name__", "\nprint(", "\n@", "\nassert ", "\n```", "\n<|", "\n[DONE]"),
}
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_PYTHON = frozenset({"", "python", "python3", "py", "py3"})
_BEGINS = re.compile(r"^(?:from |import |def |async def |class |@)", re.M)
_lock = Lock()
_open: list[Sandbox] = []


def shared_sandbox() -> Sandbox:
    """The sandbox of this process, opened when it is first needed.

    Raises:
        SandboxError: model-written code cannot be run safely here.
    """
    with _lock:
        if not _open:
            _open.append(Sandbox())
            atexit.register(_close)
        return _open[0]


def _close() -> None:
    while _open:
        _open.pop().close()


def until_stop(text: str, stops: tuple[str, ...]) -> str:
    """The text up to the first stop string.

    >>> until_stop("    return 1\\n\\ndef g():", STOPS["function"])
    '    return 1\\n'
    """
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every fenced block, in order; one that is never closed goes to the end.

    >>> fenced_blocks("Here:\\n```python\\nx = 1\\n```\\nand\\n```\\nx\\n```")
    [('python', 'x = 1\\n'), ('', 'x\\n')]
    """
    return [(language.lower(), code) for _, language, code in _FENCE.findall(text)]


def code_of_answer(text: str, entry: str) -> str | None:
    """The code of a chat model's answer: the last block of Python that defines `entry`, with the blocks before it.

    Blocks after it are examples of use. Without a block, everything from the first line of code on that defines it.
    None when nothing does.
    """
    defines = re.compile(rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(entry)}\b", re.M)
    blocks = [code for language, code in fenced_blocks(text) if language in _PYTHON]
    holding = [at for at, code in enumerate(blocks) if defines.search(code)]
    if holding:
        last = holding[-1]
        before = [code for code in blocks[:last] if not defines.search(code) and _compiles(code)]
        return "\n".join([*before, blocks[last]])
    begins = _BEGINS.search(text)
    if not blocks and begins and defines.search(text):
        return text[begins.start() :]
    return None


def mark_program(text: str, targets: tuple[str, ...]) -> Mark:
    """Score 1 when the code of an answer (its blocks of Python, or all of it) passes the tests in `targets`.

    Raises:
        SandboxError: model-written code cannot be run safely here.
    """
    blocks = [code for language, code in fenced_blocks(text) if language in _PYTHON]
    return check_code(Case("\n".join(blocks) if blocks else text, "\n".join(targets)))


def mark_of(verdict: Verdict) -> Mark:
    """A verdict as a mark: a pass is 1, a failed check 0, and no verdict is no score."""
    if verdict.outcome is Outcome.NO_VERDICT:
        return Unscored(UnscoredReason.FAILED, verdict.detail)
    return Score(float(verdict.passed), verdict.reason[:200])


def check_code(case: Case) -> Mark:
    """Run one check in the shared sandbox.

    Raises:
        SandboxError: model-written code cannot be run safely here.
    """
    return mark_of(shared_sandbox().check(case))


def code_reward(program: str, test: str, entry: str = "") -> float:
    """1.0 when a program passes a test, else 0.0: a verifiable reward for training.

    Raises:
        SandboxError: code cannot be run here, or the check came to no verdict; never a reward of 0 for that.
    """
    from parity.errors import SandboxError

    mark = check_code(Case(program, test, entry))
    if isinstance(mark, Unscored):
        raise SandboxError(f"A check came to no verdict: {mark.detail}.", "Run the step again.")
    return mark.value


def _compiles(code: str) -> bool:
    try:
        compile(code, "<block>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True
