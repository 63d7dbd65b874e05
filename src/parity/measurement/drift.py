"""Whether a model still answers as it did when its answers were recorded; and how often it contradicts itself at once.

Each item of a random sample is asked twice more. While nothing changed, the recorded answer and the two new ones may
stand in any order, so "the first new one contradicts the recorded one" is exactly as likely as "the two new ones
contradict each other". Parity bets that the first is more frequent (`stats.sequential`); the bets may be looked at
after every item, and nothing need be known of how noisy the model is. The second is its noise floor. Many probes share
alpha as looks at one question do. Source: sign tests under exchangeability; Waudby-Smith & Ramdas, arXiv 2010.09686.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from parity.core.gaps import Gap, Noise, Verdict
from parity.core.outputs import Delta, Failure, Generation, Output
from parity.core.prompts import Generate, Request, RequestId
from parity.core.refs import ModelRef
from parity.core.runs import Identity
from parity.core.scores import Mark, Score
from parity.engines.base import Capabilities, Engine
from parity.errors import DataError
from parity.marking.sameness import canonical
from parity.measurement.accounting import Terms, tell_forecast
from parity.measurement.asking import Questions
from parity.measurement.stopping import looks
from parity.runs.plan import place
from parity.runs.runner import ask, is_final
from parity.stats.intervals import clopper_pearson
from parity.stats.sequential import log_evidence
from parity.stats.spending import share
from parity.store import Workspace
from parity.store.probes import STALE, STEADY, Found, ProbeRecord, Probes
from parity.store.workspace import RunRecord

# Fewer recorded answers than this say too little to ask again.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Again:
    """A model asked once more: the same engine, its answers kept under an identity of their own."""

    engine: Engine
    copy: str

    @property
    def model(self) -> ModelRef:
        return self.engine.model

    @property
    def identity(self) -> Identity:
        own = self.engine.identity
        return replace(own, settings=(*own.settings, ("asked again", self.copy)))

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        return self.engine.answer(requests)

    def stream(self, request: Generate) -> Iterator[Delta]:
        return self.engine.stream(request)

    def cancel(self, request_id: RequestId) -> None:
        self.engine.cancel(request_id)

    def close(self) -> None:
        """Nothing: whoever opened the engine closes it."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What a probe found; `recorded` answers there were to ask again."""

    probe: ProbeRecord
    recorded: int

    @property
    def stale(self) -> bool:
        return self.probe.status == STALE


def probe(
    engine: Engine, questions: Questions, workspace: Workspace, terms: Terms, most: int = 100, alpha: float = 0.05
) -> Drift:
    """Ask a model again, at most `most` items, until it is proved to have changed.

    `alpha` is the chance of a false alarm over all probes of this model on this benchmark, of which look k spends its
    share. What was asked is kept; the same call goes on where it was stopped.

    Raises:
        DataError: too few recorded answers to compare with.
        BudgetExceeded, EngineError: what was answered is kept.
    """
    recorded = _recorded(engine, questions, workspace)
    store, name = Probes(workspace), f"{questions.protocol.name} {questions.protocol.version}"
    identity, benchmark = engine.identity.digest, questions.benchmark.name
    begun = store.begin(identity, str(engine.model), benchmark, name, alpha, share)
    known = [request for request in questions.requests if request.id in recorded]
    # Another random sample each time: what one probe saw by chance the next does not.
    sample = sorted(known, key=lambda request: place(request.id, begun.number))[:most]
    found, spent = Found(), 0.0
    for size in looks(len(sample)):
        told = [_told(questions, sample[:size], recorded)]
        for copy in ("first", "second"):
            budget = replace(terms.budget, spent_usd=terms.budget.spent_usd + spent)
            again = Again(engine, f"{begun.number} {copy}")
            answers, usd = _asked(again, sample[:size], workspace, replace(terms, budget=budget))
            spent += usd
            told.append(_told(questions, sample[:size], answers))
        found = flips_of(sample[:size], *told)
        if found.log_e >= -math.log(begun.alpha):
            break
    store.end(begun.probe_id, STALE if found.log_e >= -math.log(begun.alpha) else STEADY, found)
    return Drift(store.of(identity, benchmark)[-1], len(recorded))


def _recorded(engine: Engine, questions: Questions, workspace: Workspace) -> dict[RequestId, Output]:
    """What the model answered before."""
    found = workspace.answers(engine.identity.digest, questions.requests)
    if len(found) < FEWEST:
        raise DataError(
            f"{engine.model} has {len(found)} recorded answers to {questions.benchmark.name} in {workspace.folder}; "
            f"at least {FEWEST} are needed to see a change.",
            "Measure it first: parity measure MODEL -b BENCHMARK.",
        )
    return found


def renew(engine: Engine, questions: Questions, workspace: Workspace) -> int:
    """Put a model's recorded answers aside, so that they are asked anew; returns how many.

    Raises:
        DataError: there are none.
    """
    identity, store = engine.identity.digest, Probes(workspace)
    count = store.retire(identity, questions.requests, len(store.of(identity, questions.benchmark.name)))
    if not count:
        raise DataError(
            f"{engine.model} has no recorded answers to {questions.benchmark.name}: nothing to put aside.",
            "Name model, benchmark, protocol and template as they were measured.",
        )
    return count


def flips_of(
    asked: Sequence[Request], before: Mapping[RequestId, str], first: Mapping[RequestId, str],
    second: Mapping[RequestId, str],
) -> Found:  # fmt: skip
    """Contradictions in the order of asking; an item without one of the three answers tells nothing and is left out."""
    whole = [request.id for request in asked if all(request.id in told for told in (before, first, second))]
    changed = [before[at] != first[at] for at in whole]
    noisy = [first[at] != second[at] for at in whole]
    bets = [float(new) - float(floor) for new, floor in zip(changed, noisy, strict=True)]
    return Found(len(whole), sum(noisy), sum(changed), log_evidence(bets, 0.0) if whole else 0.0)


def _asked(
    again: Again, part: Sequence[Request], workspace: Workspace, terms: Terms
) -> tuple[dict[RequestId, Output], float]:
    """The answers of one copy, and what the new ones cost."""
    tell_forecast(again, part, workspace, terms)

    def progress(done: int, total: int) -> None:
        if terms.on_progress:
            terms.on_progress(f"{again.engine.model.short}: asked again", done, total)

    with workspace.lock(again.identity.digest[:16]):
        found = ask(again, part, workspace, terms.budget, progress, terms.price)
    return found.outputs, found.usd


def _told(questions: Questions, part: Sequence[Request], answers: Mapping[RequestId, Output]) -> dict[RequestId, str]:
    """What every answer says, as its marker reads it; a failure that may pass says nothing."""
    items = {item.id: item for item in questions.items}
    kept = [request.id for request in part if is_final(answers[request.id])]
    marking = questions.protocol.marks([(items[asked.item], answers[asked]) for asked in kept])
    return {asked: said(answers[asked], mark) for asked, mark in zip(kept, marking.marks, strict=True)}


def said(output: Output, mark: Mark) -> str:
    """The answer that was read and its score, or the text where nothing shorter is read from it."""
    if isinstance(output, Failure):
        return f"no answer: {output.kind.value}"
    if isinstance(mark, Score):
        read = mark.answer or (canonical(output.text) if isinstance(output, Generation) else "")
        return f"{mark.value} {canonical(read)}"
    return canonical(output.text) if isinstance(output, Generation) else mark.reason.value


def noise_of(workspace: Workspace, run: RunRecord) -> Noise | None:
    """What probes say of the model of a finished run; None where it was never asked again.

    It is stale when a probe proved a change after the oldest of its answers was given.
    """
    store = Probes(workspace)
    done = [each for each in store.of(run.identity, run.benchmark) if each.found.asked]
    if not done:
        return None
    asked, floor = sum(each.found.asked for each in done), sum(each.found.floor_flips for each in done)
    share_of = clopper_pearson(floor, asked)
    since = store.first_asked(run.run_id, run.identity)
    proofs = [each for each in done if each.status == STALE and (since is None or each.at > since)]
    if not proofs:
        return Noise(asked, floor, share_of.low, share_of.high, at=done[-1].at)
    last = proofs[-1]
    return Noise(last.found.asked, last.found.floor_flips, share_of.low, share_of.high, True, last.found.flips, last.at)


def held_against(gap: Gap, workspace: Workspace, incumbent: RunRecord) -> Gap:
    """The gap with what is known of the incumbent's noise; of one that has changed since, nothing is claimed."""
    noise = noise_of(workspace, incumbent)
    if noise is None:
        return gap
    voided = noise.stale and gap.verdict is not None
    return replace(gap, noise=noise, verdict=Verdict.INCONCLUSIVE if voided else gap.verdict)
