"""Plots as inline SVG: curve, bars with intervals, composition, histogram, ranking. Colours are the page's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from math import floor, log10
from typing import NamedTuple

from luthier.records.evaluation import Measure

WIDTH = 640


class Bar(NamedTuple):
    """One measure of base and tuned model."""

    name: str
    base: Measure | None
    tuned: Measure


def curve(losses: Sequence[float], height: int = 220) -> str:
    """Loss over steps: every step as a faint dot, a running mean as a line."""
    if not losses:
        return ""
    left, right, top, bottom = 44, 12, 12, 30
    highest = max(losses) * 1.05 or 1.0
    smooth = smoothed(losses)

    def x(step: float) -> float:
        return left + (WIDTH - left - right) * step / max(len(losses) - 1, 1)

    def y(loss: float) -> float:
        return top + (height - top - bottom) * (1 - loss / highest)

    ticks = nice_ticks(highest)
    grid = "".join(
        f'<line class="gridline" x1="{left}" x2="{WIDTH - right}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text class="tick" x="{left - 8}" y="{y(t) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in ticks
    )
    dots = "".join(f'<circle class="dot" cx="{x(i):.1f}" cy="{y(v):.1f}" r="2.4"/>' for i, v in enumerate(losses))
    line = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(smooth))
    last = f'<text class="tick" x="{WIDTH - right}" y="{height - 8}" text-anchor="end">step {len(losses)}</text>'
    first = f'<text class="tick" x="{left}" y="{height - 8}">step 1</text>'
    return svg(height, f'{grid}{dots}<polyline class="line" points="{line}"/>{first}{last}', "Loss at each step")


def bars(rows: Sequence[Bar]) -> str:
    """Two bars a measure, from 0 to 100, each with its 95 % interval as a whisker."""
    left, right, row = 150, 56, 54
    scale = WIDTH - left - right
    parts = []
    for at, (name, base, tuned) in enumerate(rows):
        top = at * row + 8
        parts.append(f'<text class="name" x="{left - 12}" y="{top + 25}" text-anchor="end">{escape(name)}</text>')
        for offset, kind, measure in ((4, "base", base), (21, "tuned", tuned)):
            if measure is None:
                continue
            y = top + offset
            width = max(scale * measure.mean, 1)
            low, high = left + scale * measure.low, left + scale * measure.high
            parts.append(
                f'<rect class="{kind}" x="{left}" y="{y}" width="{width:.1f}" height="14" rx="3"/>'
                f'<path class="whisker" d="M{low:.1f} {y + 7}H{high:.1f}M{low:.1f} {y + 3}v8M{high:.1f} {y + 3}v8"/>'
                f'<text class="tick" x="{max(high, left) + 8:.1f}" y="{y + 11}">{100 * measure.mean:.0f}</text>'
            )
    return svg(len(rows) * row + 10, "".join(parts), "Measures of base and tuned model with 95 % intervals")


def composition(counts: Mapping[str, int]) -> str:
    """One bar cut into shares, with a legend."""
    total = sum(counts.values())
    if not total:
        return ""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    edges = [0, *accumulate(count for _, count in ordered)]
    parts = [
        f'<rect class="part p{n % 6}" x="{WIDTH * edges[n] / total:.1f}" y="4" '
        f'width="{max(WIDTH * count / total - 2, 1):.1f}" height="22" rx="3"/>'
        for n, (_, count) in enumerate(ordered)
    ]
    column = WIDTH / 3
    for n, (name, count) in enumerate(ordered):
        x, y = (n % 3) * column, 48 + (n // 3) * 22
        parts.append(
            f'<rect class="part p{n % 6}" x="{x:.0f}" y="{y - 9}" width="10" height="10" rx="2"/>'
            f'<text class="tick" x="{x + 16:.0f}" y="{y}">{escape(name)} {count:,} ({percent(count / total)})</text>'
        )
    return svg(44 + 22 * ((len(ordered) + 2) // 3), "".join(parts), "Composition")


class Column(NamedTuple):
    """One bar of a histogram."""

    label: str
    """What stands below it; nothing for most."""
    rows: int
    said: str
    """What a pointer over it reads."""


def histogram(columns: Sequence[Column], title: str, width: int = 480, height: int = 150) -> str:
    """Upright bars from a common ground, the highest with its count. Nothing where nothing is counted."""
    highest = max((column.rows for column in columns), default=0)
    if not highest:
        return ""
    top, bottom, each = 18, 22, width / len(columns)
    scale = (height - top - bottom) / highest
    parts = [f'<line class="gridline" x1="0" x2="{width}" y1="{height - bottom}" y2="{height - bottom}"/>']
    named = False
    for place, (label, count, said) in enumerate(columns):
        x, tall = place * each, max(count * scale, 1.5) if count else 0.0
        middle, y = x + each / 2, height - bottom - tall
        parts.append(
            f'<rect class="tuned" x="{x + 1:.1f}" y="{y:.1f}" width="{max(each - 2, 0.5):.1f}" height="{tall:.1f}" '
            f'rx="1.5"><title>{escape(said)}</title></rect>'
        )
        if label:
            half = 3.2 * len(label)  # so that no label is cut off at an end
            parts.append(tick(min(max(middle, half), width - half), height - 7, label, "middle"))
        if count == highest and not named:
            named = True
            half = 3.2 * len(f"{count:,}")
            parts.append(tick(min(max(middle, half), width - half), y - 5, f"{count:,}", "middle"))
    return svg(height, "".join(parts), title, width)


def ranking(counts: Mapping[str, int], title: str, most: int = 12, width: int = 480) -> str:
    """Lying bars, the longest first, with count and share; what comes behind the first `most` is one bar."""
    ordered = [(name, count) for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count]
    rest = ordered[most:]
    shown = [*ordered[:most], *([(f"{len(rest)} others", sum(count for _, count in rest))] if rest else [])]
    if not shown:
        return ""
    total, left, right, row = sum(counts.values()), 150, 96, 25
    scale = (width - left - right) / max(count for _, count in shown)
    parts = []
    for place, (name, count) in enumerate(shown):
        y, long = place * row, max(count * scale, 2)
        kind = "base" if rest and place == most else "tuned"
        parts += [
            tick(left - 10, y + 16, cut(name), "end", name),
            f'<rect class="{kind}" x="{left}" y="{y + 4}" width="{long:.1f}" height="16" rx="3"/>',
            tick(left + long + 8, y + 16, f"{count:,} · {percent(count / total)}"),
        ]
    return svg(len(shown) * row + 4, "".join(parts), title, width)


def tick(x: float, y: float, text: str, anchor: str = "start", said: str = "") -> str:
    """A small text; `said` is what a pointer over it reads."""
    hint = f"<title>{escape(said)}</title>" if said else ""
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}{hint}</text>'


def cut(name: str, most: int = 21) -> str:
    """A name that fits beside its bar."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def percent(share: float) -> str:
    """A share as people read it: never `0 %` of what is there, nor `100 %` where something is missing."""
    if 0 < share < 0.01:
        return f"{max(100 * share, 0.01):.1g} %"
    return f"{min(100 * share, 99.9):.1f} %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def smoothed(values: Sequence[float], keep: float = 0.8) -> list[float]:
    """Exponential running mean, begun at the first value."""
    return list(accumulate(values, lambda mean, value: keep * mean + (1 - keep) * value))


def nice_ticks(highest: float) -> list[float]:
    """A handful of round numbers from 0 up."""
    unit = 10.0 ** floor(log10(highest))
    step = next(unit * share for share in (0.2, 0.5, 1, 2) if highest / (unit * share) <= 5)
    return [n * step for n in range(int(highest / step) + 1)]


def svg(height: float, content: str, title: str, width: int = WIDTH) -> str:
    """A picture that takes the width of its place."""
    box = f'viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(title)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{content}</svg>'
