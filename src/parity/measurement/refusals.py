"""What is refused before or after asking, rather than measured wrongly: each says what would do instead."""

from collections.abc import Mapping, Sequence

from parity.benchmarks.base import Benchmark, Protocol
from parity.core.prompts import Drawing, RequestKind
from parity.core.refs import ModelRef
from parity.core.runs import Marked
from parity.core.scores import Unscored, UnscoredReason
from parity.engines.base import Engine
from parity.errors import Unscorable, UsageError, listed
from parity.measurement.results import Template

# More ties and NaN than this share means the model or its precision is broken, not the items.
UNSCORABLE_SHARE = 0.001


def check_drawing(drawing: Drawing, protocol: Protocol, until_verdict: bool) -> None:
    """Refuse draws that would all be the same, or that cannot be had.

    Raises:
        UsageError: with everything that does not fit.
    """
    sampled = drawing.temperature is not None or drawing.top_p is not None or drawing.draws > 1
    rules = (
        (drawing.draws < 1, f"{drawing.draws} draws are not at least 1"),
        (
            drawing.draws > 1 and drawing.temperature == 0,
            f"at temperature 0 all {drawing.draws} draws are the same answer",
        ),
        (drawing.temperature is not None and drawing.temperature < 0, "a temperature is not below 0"),
        (drawing.top_p is not None and not 0 < drawing.top_p <= 1, "top-p is above 0 and at most 1"),
        (
            sampled and protocol.sampling is None,
            f"protocol {protocol.name!r} compares log-likelihoods: nothing is drawn or sampled",
        ),
        (drawing.draws > 1 and until_verdict, "several draws an item cannot be asked until the verdict is in"),
    )
    if problems := [problem for broken, problem in rules if broken]:
        raise UsageError("Answers cannot be drawn like this:\n" + listed(problems), "See parity measure --help.")


def check_kinds(kinds: Mapping[ModelRef, frozenset[RequestKind]], benchmark: Benchmark, protocol: Protocol) -> None:
    """Refuse, before anything is asked, a protocol that one of the models cannot do; offer one that all can."""
    unable = [model for model, offered in kinds.items() if protocol.kind not in offered]
    if not unable:
        return
    common = frozenset.intersection(*kinds.values())
    offers = [other.name for other in benchmark.protocols.values() if other.kind in common]
    offered = " and ".join(sorted(kinds[unable[0]])) or "nothing"
    raise UsageError(
        f"{unable[0]} cannot be asked by {protocol.name!r}, which needs {protocol.kind}; it offers {offered}. "
        "Log-likelihoods and written answers are never compared.",
        f"Measure all models with --protocol {offers[0]}." if offers else f"No protocol of {benchmark.name} fits all.",
    )


def check_template(engine: Engine, template: Template) -> None:
    if template == "chat" and not engine.capabilities.chat:
        raise UsageError(
            f"{engine.model} has no chat template.", "Measure all models with --template none, or use the chat version."
        )


def check_marked(protocol: Protocol, margin: float | None) -> None:
    """Refuse a verdict on answers that nobody marks.

    Raises:
        UsageError: there is a margin.
    """
    if protocol.unmarked and margin is not None:
        raise UsageError(
            f"Answers by {protocol.name!r} are not marked: there is no gap yet.",
            "Leave out --margin, then judge both runs: parity judge RUN RUN --judge MODEL --margin 0.1.",
        )


def check_scorable(model: ModelRef, marks: Sequence[Marked]) -> None:
    """Ties and NaN above the limit stop the run, with the likely cause; so does a run without any score."""
    found = {UnscoredReason.TIE: 0, UnscoredReason.NOT_A_NUMBER: 0}
    for marked in marks:
        if isinstance(marked.mark, Unscored) and marked.mark.reason in found:
            found[marked.mark.reason] += 1
    ties, nans = found.values()
    if marks and all(isinstance(marked.mark, Unscored) for marked in marks):
        assert isinstance(marks[0].mark, Unscored)
        items = len({marked.item for marked in marks})
        raise Unscorable(
            f"{model}: none of {items} items has a score; {marks[0].item}: {marks[0].mark.detail}.",
            "For a prompt that does not fit: --overflow truncate, or a model with a longer context.",
        )
    # A handful in a short run is luck, not a diagnosis: from the second on the share decides.
    if ties + nans > max(1.0, UNSCORABLE_SHARE * len(marks)):
        cause = "NaN comes from overflow or broken weights" if nans else "Ties come from too coarse a number type"
        raise Unscorable(
            f"{model}: {nans} answers are NaN and {ties} are ties, of {len(marks)}; "
            f"at most {100 * UNSCORABLE_SHARE:g} % is accepted. {cause}.",
            "Try --dtype float32, and check the weights with another tool.",
        )
