"""Help shows what can be asked for, and nothing that means as much as saying nothing."""

import re
from itertools import chain

import pytest

from parity.cli.app import VERBS, main


@pytest.mark.parametrize("verb", list(chain.from_iterable(VERBS.values())))
def test_no_flag_undoes_what_is_off_anyway(verb, capsys):
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--help" in shown or "Usage" in shown
    undone = set(re.findall(r"--no-([a-z-]+)", shown))
    assert not undone & set(re.findall(r"--(?!no-)([a-z-]+)", shown))
    assert "--empty-" not in shown


def test_a_flag_of_the_engine_is_switched_on_and_cannot_be_undone(capsys):
    assert main(["measure", "dummy:", "--no-deterministic"]) == 2
    assert "--no-deterministic" in capsys.readouterr().err
