"""How a probe of a model reads: whether it changed, and how noisy it is."""

import math

from parity.core.digests import Plain
from parity.measurement.drift import Drift
from parity.reporting.page import Page, Sentence, Table, percent
from parity.stats.intervals import clopper_pearson


def drift_json(found: Drift) -> dict[str, Plain]:
    """The probe for machines; shares are fractions."""
    probe = found.probe
    floor = clopper_pearson(probe.found.floor_flips, probe.found.asked)
    return {
        "model": probe.model,
        "benchmark": probe.benchmark,
        "stale": found.stale,
        "probe": probe.number,
        "alpha": probe.alpha,
        "asked": probe.found.asked,
        "recorded": found.recorded,
        "floor_flips": probe.found.floor_flips,
        "floor_low": floor.low,
        "floor_high": floor.high,
        "flips": probe.found.flips,
        "e_value": math.exp(min(probe.found.log_e, 700.0)),
    }


def drift_page(found: Drift) -> Page:
    """The claim first, then what it rests on."""
    probe, seen = found.probe, found.probe.found
    floor = clopper_pearson(seen.floor_flips, seen.asked)
    if found.stale:
        claim = Sentence(
            f"STALE: {probe.model} does not answer as it did when its answers were recorded. No verdict that rests on "
            "them is given. Run this again with --renew, and measure again.",
            "red",
        )
    else:
        claim = Sentence(f"No change of {probe.model} is proved; its recorded answers stand.", "green")
    rows = (
        ("items asked twice more", f"{seen.asked:,} of {found.recorded:,}"),
        ("other than a moment later (noise floor)", _share(seen.floor_flips, seen.asked)),
        ("95 % exact", f"{100 * floor.low:.1f} to {100 * floor.high:.1f}"),
        ("other than recorded", _share(seen.flips, seen.asked)),
        ("wealth of the bets on a change", f"{math.exp(min(seen.log_e, 700.0)):.3g}"),
        (f"needed at alpha {probe.alpha:.3g} (probe {probe.number})", f"{1 / probe.alpha:.3g}"),
    )
    return Page(f"{probe.model} asked again on {probe.benchmark}", (claim, Table(("", "value"), rows)))


def _share(count: int, of: int) -> str:
    return f"{count:,} ({percent(count / of)})" if of else "0"
