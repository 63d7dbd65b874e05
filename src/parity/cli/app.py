"""Reads the command line, runs one verb, turns errors into messages and exit codes.

0 done or parity, 1 error, 2 usage, 10 inferior, 11 inconclusive, 130 interrupted.
"""

import os
import sys
from itertools import chain

from cyclopts import App, CycloptsError, Group, Parameter

from parity.errors import ParityError

app = App(
    name="parity",
    help="How far is an open model from the API you pay for? Measure the gap on the same items, and prove it.\n\n"
    "With --offline, any verb reaches this machine only, and attempts to reach another are refused and counted.",
    help_flags=["--help", "-h"],
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    # Every flag is off, and every list empty, until it is named: there is nothing to undo.
    default_parameter=Parameter(negative=""),
)
VERBS = {
    "Measure": (
        *("measure", "judge", "plan", "gap", "select", "drift", "ledger"),
        *("grade", "contamination", "benchmarks", "runs", "show"),
    ),
    "Close the gap": ("data", "tune", "merge", "diff", "quantize", "check"),
    "Models": ("chat", "inspect", "fit", "pull", "price", "demo"),
}
for _title, _verbs in VERBS.items():
    _group = Group.create_ordered(_title)
    for _verb in _verbs:
        app.command(f"parity.cli.{_verb}:{_verb}", name=_verb, group=_group)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code. `--offline` may stand anywhere in it."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--offline" not in arguments and os.environ.get("PARITY_OFFLINE", "") in ("", "0"):
        return _run(arguments)
    from parity.files import egress

    egress.forbid()
    code = _run([argument for argument in arguments if argument != "--offline"])
    if attempts := egress.seen().attempts:
        sys.stderr.write(f"offline: {attempts} attempts to reach another host were refused\n")
    return code


def _run(arguments: list[str]) -> int:
    if arguments[:1] in ([], ["--help"], ["-h"]):
        for name in chain.from_iterable(VERBS.values()):
            app[name]  # a verb that is not loaded has no line to show
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        return _say(str(error), "Run with --help to see what it takes.", 2)
    except ParityError as error:
        return _say(error.what, error.todo, error.exit_code)
    except KeyboardInterrupt as stopped:  # a verb that knows better says so in it
        return _say("Stopped.", str(stopped) or "What was answered is kept; run the same command to go on.", 130)
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
