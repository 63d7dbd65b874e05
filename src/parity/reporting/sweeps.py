"""How a sweep of types reads: a table, the picture of size against loss, and the smallest that is good enough."""

import json
from dataclasses import asdict
from pathlib import Path

from parity.core.digests import Plain, plain
from parity.core.swept import Sweep, Swept
from parity.files import write_atomic
from parity.reporting.gaps import gap_json, look_sentence
from parity.reporting.markdown import write
from parity.reporting.page import Block, Page, Sentence, Table, percent, points
from parity.reporting.pareto import Dot, pareto, pareto_svg

# Below this a loss is an impression: its distribution has a long tail.
_ENOUGH_TOKENS = 1000


def sweep_json(found: Sweep) -> dict[str, Plain]:
    """The sweep for machines; shares are fractions."""
    return {
        "model": found.model,
        "base": _row_json(found.base, found),
        "types": [_row_json(row, found) for row in found.swept],
        "skipped": [{"type": one.type, "why": one.why} for one in found.skipped],
        "imatrix": found.importance,
        "benchmark": found.benchmark,
        "smallest": found.smallest.type if found.smallest else None,
    }


def _row_json(row: Swept, found: Sweep) -> dict[str, Plain]:
    return {
        "type": row.type,
        "file": str(row.file),
        "size_bytes": row.size_bytes,
        "bits_per_weight": row.bits_per_weight,
        "speed": plain(asdict(row.speed)),
        "loss": plain(asdict(row.loss)) if row.loss else None,
        "run": row.run_id,
        "gap": gap_json(row.gap) if row.gap else None,
        "failed": row.failed,
        "claimed": row.claimed,
        "front": row in found.front,
    }


def keep(found: Sweep, folder: Path) -> list[Path]:
    """Write the page, the numbers and the picture beside the files."""
    return [
        write_atomic(folder / "sweep.md", write(sweep_page(found))),
        write_atomic(folder / "sweep.json", json.dumps(sweep_json(found), indent=1, ensure_ascii=False) + "\n"),
        write_atomic(folder / "sweep.svg", _svg(found)),
    ]


def sweep_page(found: Sweep) -> Page:
    """The sweep for people: what to take first, then everything measured."""
    blocks: list[Block] = [Sentence(text, tone) for text, tone in _verdict(found)]
    blocks += [_table(found), pareto([_dot(row, found) for row in found.swept if row.loss])]
    if any(row.gap or row.failed for row in found.swept):
        blocks.append(_gaps(found))
    blocks += [Sentence(text, "yellow") for text in _warnings(found)]
    blocks += [Sentence(text) for text in _skipped(found)]
    return Page(f"{found.model} in {len(found.swept)} types", tuple(blocks))


def _skipped(found: Sweep) -> list[str]:
    reasons = dict.fromkeys(one.why for one in found.skipped)
    types = {why: ", ".join(one.type for one in found.skipped if one.why == why) for why in reasons}
    return [f"Skipped: {named} {why}." for why, named in types.items()]


def _verdict(found: Sweep) -> list[tuple[str, str]]:
    gaps = [row.gap for row in found.swept if row.gap]
    if not gaps or gaps[0].margin is None:
        why = "With -b BENCHMARK and --margin the smallest type that is still non-inferior is named."
        return [(why, "")]
    alpha, margin = gaps[0].alpha, 100 * gaps[0].margin
    rule = (
        f"Tested from the largest to the smallest, each at one-sided alpha {alpha:.3g}, until one fails: the chance "
        f"that any type called non-inferior is worse by {margin:g} points or more is at most {alpha:.3g}. "
        f"{look_sentence(gaps[0])}"
    )
    best = found.smallest
    if best is None:
        text = f"NO TYPE is shown non-inferior at a margin of {margin:g} points."
        return [(text, "yellow"), (rule, "")]
    size = f"{best.size_bytes / 1e6:,.1f} MB, {best.bits_per_weight:.2f} bits a weight"
    smaller = found.base.size_bytes / best.size_bytes
    text = (
        f"{best.type} is the smallest still non-inferior at a margin of {margin:g} points: {size}, {smaller:.1f} times "
        f"smaller than {found.base.type}. Use it: parity chat gguf:{best.file}"
    )
    return [(text, "green"), (rule, "")]


def _table(found: Sweep) -> Table:
    columns = (
        "type", "MB", "bits", "prompt", "1 answer", f"{found.base.speed.parallel} answers", "loss (KL)", "top-1 flips",
        "perplexity",
    )  # fmt: skip
    return Table(columns, tuple(_row(row, found) for row in (found.base, *found.swept)))


def _row(row: Swept, found: Sweep) -> tuple[str, ...]:
    speed, loss = row.speed, row.loss
    mark = " *" if row in found.front else ""
    rates = (f"{rate:,.0f} t/s" if rate >= 10 else f"{rate:.1f} t/s" for rate in (
        speed.prompt, speed.written, speed.written_parallel))  # fmt: skip
    lost = (f"{loss.kl_mean:.2g}", percent(loss.flips), f"x {loss.perplexity_ratio:.4f}") if loss else ("", "", "")
    return (row.type + mark, f"{row.size_bytes / 1e6:,.1f}", f"{row.bits_per_weight:.2f}", *rates, *lost)


def _gaps(found: Sweep) -> Table:
    rows = tuple((row.type, *_gap(row)) for row in found.swept)
    return Table((f"{found.benchmark} against {found.base.type}", "items", "gap", "95 % interval", "verdict"), rows)


def _gap(row: Swept) -> tuple[str, ...]:
    if row.gap is None:
        return ("", "", "", row.failed or "")
    gap = row.gap
    word = gap.verdict.value if gap.verdict else ""
    if row.claimed is False and word in ("SUPERIOR", "NON_INFERIOR"):
        word = "not claimed: a larger type failed"
    return (f"{gap.n:,}", points(gap.gap), f"{points(gap.low)} to {points(gap.high)}", word)


def _warnings(found: Sweep) -> list[str]:
    positions = next((row.loss.positions for row in found.swept if row.loss), 0)
    told = []
    if 0 < positions < _ENOUGH_TOKENS:
        told.append(
            f"The loss was measured on {positions:,} tokens only, which is an impression: give a longer --text of the "
            "kind the model is for."
        )
    if found.own_text:
        told.append("The loss was measured on the text the importance matrix was computed from, which flatters it.")
    return told


def _dot(row: Swept, found: Sweep) -> Dot:
    assert row.loss is not None
    return Dot(row.type, row.size_bytes, max(row.loss.kl_mean, 0.0), row.speed.written, row in found.front, row.claimed)


def _svg(found: Sweep) -> str:
    best = found.smallest
    note = f"Smallest still non-inferior on {found.benchmark}: {best.type}" if best else "Loss on a text"
    return pareto_svg(
        f"{found.model}: size, speed and loss", note, [_dot(row, found) for row in found.swept if row.loss]
    )
