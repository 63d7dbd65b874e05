"""Forest charts of gaps: one line a group, the gap as a dot in its interval; for a terminal, and as SVG.

Knows how a gap is drawn. Which groups, in which order, is the caller's business.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from xml.sax.saxutils import escape

from parity.core.gaps import Gap
from parity.reporting.page import Figure, points

# Colours that stay apart for people who see red and green alike.
AHEAD, UNDECIDED, BEHIND = "#1b7837", "#7f7f7f", "#b2182b"
_ROW, _LEFT, _PLOT, _RIGHT, _TOP = 13, 240, 420, 190, 76
_CELLS = 41


@dataclass(frozen=True, slots=True)
class Bar:
    """A label, and its gap with interval as fractions."""

    label: str
    gap: float
    low: float
    high: float

    @classmethod
    def of(cls, label: str, gap: Gap) -> "Bar":
        return cls(label, gap.gap, gap.low, gap.high)

    @property
    def colour(self) -> str:
        if self.gap >= 0:
            return AHEAD
        return UNDECIDED if self.high >= 0 else BEHIND


def forest(bars: Sequence[Bar]) -> Figure:
    """Lines for a terminal: label, the interval on a common scale with 0 marked, the gap in points."""
    reach = _reach(bars)
    width = max((len(bar.label) for bar in bars), default=0)

    def cell(value: float) -> int:
        return round((value + reach) / (2 * reach) * (_CELLS - 1))

    lines = [f"{'':{width}}  {f'-{100 * reach:.0f}':<{_CELLS // 2}}0{f'+{100 * reach:.0f}':>{_CELLS // 2}}  points"]
    for bar in bars:
        row = [" "] * _CELLS
        row[cell(0)] = "|"
        for at in range(cell(bar.low), cell(bar.high) + 1):
            row[at] = "+" if at == cell(0) else "-"
        row[cell(bar.gap)] = "o"
        lines.append(f"{bar.label:{width}}  {''.join(row)}  {points(bar.gap):>6}")
    return Figure(tuple(lines))


def forest_svg(title: str, note: str, bars: Sequence[Bar], margin: float | None = None) -> str:
    """The same as an SVG document, coloured: level or ahead, behind but not surely, behind."""
    reach = _reach(bars)
    height = _TOP + _ROW * len(bars) + 44

    def x(value: float) -> float:
        return round(_LEFT + (value + reach) / (2 * reach) * _PLOT, 1)

    bottom = _TOP + _ROW * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _PLOT + _RIGHT}" height="{height}" '
        f'viewBox="0 0 {_LEFT + _PLOT + _RIGHT} {height}" font-family="Helvetica, Arial, sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(16, 24, title, size=16, weight="bold"),
        _text(16, 43, note, colour="#555555"),
        *_axis(reach, x, bottom),
    ]
    if margin is not None:
        parts.append(_line(x(-margin), _TOP - 8, x(-margin), bottom, "#555555", dash=True))
        parts.append(_text(x(-margin), _TOP - 11, f"margin -{100 * margin:g}", anchor="end", colour="#555555", size=10))
    for at, bar in enumerate(bars):
        y = _TOP + _ROW * at + _ROW / 2
        parts += [
            _text(_LEFT - 10, y + 4, bar.label, anchor="end"),
            _line(x(bar.low), y, x(bar.high), y, bar.colour, width=2),
            f'<circle cx="{x(bar.gap)}" cy="{y}" r="3.6" fill="{bar.colour}"/>',
            _text(_LEFT + _PLOT + 14, y + 4, f"{points(bar.gap)}  ({points(bar.low)} to {points(bar.high)})", size=10),
        ]
    return "\n".join([*parts, *_legend(height - 12), "</svg>"]) + "\n"


def _reach(bars: Iterable[Bar]) -> float:
    """The scale's end: the widest interval, rounded up to five points."""
    widest = max((abs(end) for bar in bars for end in (bar.low, bar.high)), default=0.05)
    return max(1, ceil(widest / 0.05 - 1e-9)) * 0.05


def _axis(reach: float, x: Callable[[float], float], bottom: float) -> list[str]:
    step = 0.05 if reach <= 0.25 else 0.1
    ticks = [step * at for at in range(-int(reach / step + 1e-9), int(reach / step + 1e-9) + 1)]
    parts = []
    for tick in ticks:
        zero = abs(tick) < 1e-9
        parts.append(_line(x(tick), _TOP - 4, x(tick), bottom, "#333333" if zero else "#e4e4e4"))
        label = "0" if zero else f"{100 * tick:+.0f}"
        parts.append(_text(x(tick), bottom + 13, label, anchor="middle", colour="#555555", size=10))
    return parts


def _legend(y: float) -> list[str]:
    entries = ((0, AHEAD, "level or ahead"), (120, UNDECIDED, "behind, interval reaches 0"), (300, BEHIND, "behind"))
    parts = []
    for offset, colour, words in entries:
        left = _LEFT + offset
        parts += [f'<circle cx="{left}" cy="{y - 4}" r="3.6" fill="{colour}"/>', _text(left + 9, y, words, size=10)]
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, dash: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dash else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"{dashes}/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#111111", size: int = 11, weight: str = ""
) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    look = f'text-anchor="{anchor}" fill="{colour}" font-size="{size}"{bold}'
    return f'<text x="{x}" y="{y}" {look}>{escape(text)}</text>'
