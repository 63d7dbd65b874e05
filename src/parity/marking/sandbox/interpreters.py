"""Languages other than Python that programs are run in: which interpreter, how it is started, what it may start itself.

As in Python two processes share nothing but a socket: one holds the test and compares, one the program. What goes
between them is text in bash and plain values in JavaScript; the scripts that speak it are in `scripts/`. Refuses to
know benchmarks, and languages that no script here speaks.
"""

import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SCRIPTS = Path(__file__).parent / "scripts"
# Where interpreters and the tools of a shell are looked for: what belongs to the machine, not to a user.
PATH = "/usr/local/bin:/usr/bin:/bin"
# The longest argument that the kernel hands to a program.
MAX_ARGUMENT_BYTES = 128 * 1024 - 1


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How a language is run. `options` stand before the script, `after_script` between it and its arguments.

    `starts_tools`: programs may start others, of this machine's own (a shell without them is none), confined alike.
    """

    language: str
    command: str
    options: tuple[str, ...]
    after_script: tuple[str, ...]
    suffix: str
    starts_tools: bool = False


KNOWN = {
    "js": Interpreter("js", "node", ("--max-old-space-size=512", "-e"), ("--",), ".js"),
    "sh": Interpreter("sh", "bash", ("--norc", "--noprofile", "-c"), ("bash",), ".sh", starts_tools=True),
}


@dataclass(frozen=True, slots=True)
class Start:
    """What to execute: a path and its arguments, the name of the program first."""

    path: str
    arguments: tuple[str, ...]


def path_of(language: str) -> str | None:
    """Where a language's interpreter is, or None where this machine has none."""
    found = shutil.which(KNOWN[language].command, path=PATH)
    return os.path.realpath(found) if found else None


def executables() -> dict[str, list[str]]:
    """Files and folders, by language, that may be executed; for languages whose interpreter is here."""
    found = {}
    for language, interpreter in KNOWN.items():
        if path := path_of(language):
            tools = [folder for folder in PATH.split(":") if os.path.isdir(folder)] if interpreter.starts_tools else []
            found[language] = [path, *tools]
    return found


def examining(language: str, nonce: str, entry: str, test: str) -> Start:
    """The process that compares."""
    return _start(language, "examiner", (nonce, entry, test))


def answering(language: str, program: str, entry: str) -> Start:
    """The process that runs the program."""
    return _start(language, "candidate", (program, entry))


def too_long(*texts: str) -> bool:
    """Whether one of these cannot be handed to an interpreter."""
    return any(len(text.encode("utf-8", "surrogatepass")) > MAX_ARGUMENT_BYTES or "\0" in text for text in texts)


def _start(language: str, role: str, arguments: tuple[str, ...]) -> Start:
    interpreter, path = KNOWN[language], path_of(language)
    assert path is not None
    script = _script(role + interpreter.suffix)
    return Start(path, (interpreter.command, *interpreter.options, script, *interpreter.after_script, *arguments))


@cache
def _script(name: str) -> str:
    return (_SCRIPTS / name).read_text(encoding="utf-8")
