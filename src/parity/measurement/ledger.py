"""What a verdict may rest on when its question was asked before: looking every week does not buy a false yes.

A question is "may this candidate, or a later one of its kind, take the incumbent's place on this benchmark?". Every
look at it spends a part of alpha (`stats.spending`). The same runs read again are the same look; another run of the
candidate is a new one; a verdict that may be stopped at any time is one look from its first item to its last.
Margins share a look: the bounds at one alpha answer them all.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from parity.core.digests import digest
from parity.core.gaps import Gap, Look, Verdict
from parity.core.refs import ModelRef
from parity.stats.spending import share
from parity.store import Workspace
from parity.store.ledger import Entry, Ledger, LookRecord

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose place on which benchmark is in question, by name."""

    candidate: str
    incumbent: str
    benchmark: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The margin of a verdict, and the alpha of all looks at its question together."""

    margin: float
    total: float


@dataclass(frozen=True, slots=True)
class Purse:
    """Where looks are entered: a workspace, under a question's name or (None) the one that models and items make."""

    workspace: Workspace
    question: str | None = None

    def enter(self, asked: Asked, basis: Sequence[str], claim: Claim, anytime: bool = False) -> LookRecord:
        """The look at what `basis` names, entered once."""
        question = self.question or question_of(asked)
        entry = Entry(question, digest(basis), asked.candidate, claim.margin, claim.total, anytime)
        return Ledger(self.workspace).enter(entry, share)

    def conclude(self, found: Gap, look: LookRecord, runs: tuple[str, str] | None = None) -> Gap:
        """The gap with the look it rests on; its verdict is kept, with the runs that hold what was looked at."""
        if found.verdict is not None:
            Ledger(self.workspace).conclude(look.look_id, found.verdict.value, runs)
        return look_of(found, look)

    def reread(self, stream: LookRecord, claim: Claim) -> LookRecord:
        """The same look, read at another margin."""
        entry = Entry(stream.question, stream.basis, stream.candidate, claim.margin, claim.total, anytime=True)
        return Ledger(self.workspace).enter(entry, share)


def stream_of(workspace: Workspace, runs: tuple[str, str]) -> LookRecord | None:
    """The look that stopped these two runs when its verdict was in; None where they were asked to their end."""
    found = [look for look in Ledger(workspace).looks() if look.runs == " ".join(runs) and look.anytime]
    return found[-1] if found else None


def at_next_look(found: Gap, look: LookRecord | None, again: Callable[[float], Gap]) -> Gap:
    """An INCONCLUSIVE gap with the items it would take at the next look, which has less alpha; `again` judges at one.

    A verdict that may be stopped at any time goes on at the alpha it has.
    """
    if look is None or look.anytime or found.verdict is not Verdict.INCONCLUSIVE:
        return found
    return replace(found, items_needed=again(look.total * share(look.number + 1)).items_needed)


def look_of(found: Gap, look: LookRecord) -> Gap:
    """The gap, saying at which look it was read."""
    return replace(found, look=Look(look.question, look.number, look.total))


def question_of(asked: Asked) -> str:
    """The name of the question. Candidates whose names differ in numbers or revision only are one family.

    >>> question_of(Asked("out/week-12/model", "openai:gpt-4o", "tickets"))
    'out/week-#/model against openai:gpt-4o on tickets'
    """
    return f"{family_of(asked.candidate)} against {asked.incumbent} on {asked.benchmark}"


def family_of(name: str) -> str:
    """A model's name without its revision, every number in it a '#'.

    >>> family_of("hf:org/support-v2@9f8e7d") == family_of("hf:org/support-v3")
    True
    """
    ref = ModelRef.parse(name)
    return _DIGITS.sub("#", str(replace(ref, revision=None)))
