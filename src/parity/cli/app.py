"""Reads the command line, runs one verb, turns errors into messages and exit codes.

0 done or parity, 1 error, 2 usage, 10 inferior, 11 inconclusive, 130 interrupted.
"""

import sys

from cyclopts import App, CycloptsError

from parity.errors import ParityError

app = App(
    name="parity",
    help="How far is an open model from the API you pay for? Measure the gap on the same items, and prove it.",
    help_flags=["--help", "-h"],
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)
VERBS = ("measure", "gap", "runs", "show", "demo")
for _verb in VERBS:
    app.command(f"parity.cli.{_verb}:{_verb}", name=_verb)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        return _say(str(error), "Run with --help to see what it takes.", 2)
    except ParityError as error:
        return _say(error.what, error.todo, error.exit_code)
    except KeyboardInterrupt:
        return _say("Stopped.", "What was answered is kept; run the same command to go on.", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _say(what: str, todo: str, code: int) -> int:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), what))
    if todo:
        console.print(Text(todo))
    return code


def run() -> None:
    """Entry point of the installed `parity` command."""
    sys.exit(main())
