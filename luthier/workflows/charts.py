"""Three plots as inline SVG: a curve, bars with intervals, a composition. Colours come from the page's CSS classes."""

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
            f'<text class="tick" x="{x + 16:.0f}" y="{y}">{escape(name)} {count} ({100 * count / total:.0f} %)</text>'
        )
    return svg(44 + 22 * ((len(ordered) + 2) // 3), "".join(parts), "Composition")


def smoothed(values: Sequence[float], keep: float = 0.8) -> list[float]:
    """Exponential running mean, begun at the first value."""
    return list(accumulate(values, lambda mean, value: keep * mean + (1 - keep) * value))


def nice_ticks(highest: float) -> list[float]:
    """A handful of round numbers from 0 up."""
    unit = 10.0 ** floor(log10(highest))
    step = next(unit * share for share in (0.2, 0.5, 1, 2) if highest / (unit * share) <= 5)
    return [n * step for n in range(int(highest / step) + 1)]


def svg(height: float, content: str, title: str) -> str:
    """A picture that takes the width of its place."""
    box = f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{content}</svg>'
