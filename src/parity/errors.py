"""The error tree: everything Parity raises on purpose, each saying what happened and what to do next.

ParityError                 exit 1
  UsageError                exit 2: the command or a spec is wrong
  ModelError                weights are missing, broken or refused
  EngineError               a model cannot be run, or cannot do what was asked
    ContextExceeded         a prompt is longer than the model's context
  DataError                 a benchmark or a file of results is missing, changed or malformed
  StoreError                the workspace cannot be read or written
  BudgetExceeded            the run stopped because a limit was reached; what was answered is kept
  SandboxError              model-written code cannot be run safely on this machine
  Unscorable                too many answers could not be scored for the number to be trusted
"""


class ParityError(Exception):
    """An error meant for a person: `what` happened, with values, and `todo`, the next thing to try."""

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(f"{what}\n{todo}" if todo else what)
        self.what = what
        self.todo = todo


class UsageError(ParityError):
    """The command line or a spec asks for something that does not exist or does not fit together."""

    exit_code = 2


class ModelError(ParityError):
    """Weights or their configuration are missing, broken, or refused for safety."""


class EngineError(ParityError):
    """A model cannot be run here, or cannot answer this kind of request."""


class ContextExceeded(EngineError):
    """A prompt does not fit the model's context window."""


class DataError(ParityError):
    """A benchmark or a file of results is missing, malformed, or not the version its name promises."""


class StoreError(ParityError):
    """The workspace cannot be read or written."""


class BudgetExceeded(ParityError):
    """A limit the user set was reached. Everything answered so far is in the workspace."""


class SandboxError(ParityError):
    """Model-written code cannot be run safely on this machine. Nothing was run."""


class Unscorable(ParityError):
    """More answers are unscored than a trustworthy number allows."""


def listed(problems: list[str]) -> str:
    """All problems in one message, one a line, so that nobody fixes them one run at a time."""
    return "\n".join(f"  - {problem}" for problem in problems)


def did_you_mean(word: str, known: list[str]) -> str:
    """A sentence naming the nearest known word, or all of them when none is near."""
    from difflib import get_close_matches

    folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), folded, n=1)
    return f"Did you mean {folded[near[0]]!r}?" if near else f"Known: {', '.join(sorted(known))}."
