"""From what a model writes to a program.

Two readings: of a base model, whose text goes on where the prompt ends until it begins something else; and of a chat
model, whose code stands in fenced blocks among prose. Refuses to mend code: what is missing stays missing.
"""

import re
from dataclasses import dataclass

from parity.marking.checks import Check
from parity.marking.sandbox import Case

# Where a completion ends. `codex` is the rule of Chen et al. 2021, which also ends at legal code such as a comment
# without indentation; `function` ends where the function is over.
STOPS: dict[str, tuple[str, ...]] = {
    "codex": ("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
    "function": ("\ndef ", "\nclass ", "\nif __name__", "\nprint(", "\n@", "\nassert ", "\n```", "\n<|", "\n[DONE]"),
}
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S)


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


@dataclass(frozen=True, slots=True)
class Writing:
    """How a language is written: what its blocks are called, and the patterns of a definition and of a first line."""

    blocks: frozenset[str]
    defines: str
    begins: re.Pattern[str]


WRITINGS: dict[str, Writing] = {
    "python": Writing(
        frozenset({"", "python", "python3", "py", "py3"}),
        r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{}\b",
        re.compile(r"^(?:from |import |def |async def |class |@)", re.M),
    ),
    "js": Writing(
        frozenset({"", "js", "javascript", "node", "mjs"}),
        r"^[ \t]*(?:(?:async[ \t]+)?function|const|let|var)[ \t*]+{}\b",
        re.compile(r"^(?:function |async function |const |let |var |class )", re.M),
    ),
    "sh": Writing(
        frozenset({"", "sh", "bash", "shell"}),
        r"^[ \t]*(?:function[ \t]+)?{}\b[ \t]*(?:\(\)|\{{)",
        re.compile(r"^(?:#!|\w+[ \t]*\(\)|function )", re.M),
    ),
}


def code_of_answer(text: str, entry: str, language: str = "python") -> str | None:
    """The code of a chat model's answer: the last block of the language that defines `entry`, with those before it.

    Blocks after it are examples of use. Without a block, everything from the first line of code on that defines it.
    None when nothing does.
    """
    writing = WRITINGS[language]
    defines = re.compile(writing.defines.format(re.escape(entry)), re.M)
    blocks = [code for named, code in fenced_blocks(text) if named in writing.blocks]
    holding = [at for at, code in enumerate(blocks) if defines.search(code)]
    if holding:
        last = holding[-1]
        before = [code for code in blocks[:last] if not defines.search(code) and _compiles(code, language)]
        return "\n".join([*before, blocks[last]])
    begins = writing.begins.search(text)
    if not blocks and begins and defines.search(text):
        return text[begins.start() :]
    return None


def read_program(text: str, targets: tuple[str, ...]) -> Check:
    """An answer's code (its blocks of Python, or all of it), to be run against the tests in `targets`."""
    blocks = [code for language, code in fenced_blocks(text) if language in WRITINGS["python"].blocks]
    return Check((Case("\n".join(blocks) if blocks else text, "\n".join(targets)),))


def _compiles(code: str, language: str) -> bool:
    """Whether a block is whole; of Python alone that is known without running anything."""
    if language != "python":
        return True
    try:
        compile(code, "<block>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True
