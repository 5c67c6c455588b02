"""A curve as SVG: text that every browser draws. No plotting library needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["curve_svg"]

WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 640, 360, 64, 48, 16


def curve_svg(values: Sequence[float], x_label: str, y_label: str) -> str:
    """One value after the other as a line, the first at 1, as the text of an SVG file.

    Gaps stand for values that are not finite.

    >>> curve_svg([3.0, 2.0, 1.5], "epoch", "loss").startswith("<svg")
    True
    """
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        raise ValueError(f"curve_svg: {list(values)} has no finite number to draw.")
    y_ticks = _ticks(min(0.0, *finite), max(finite) or 1.0)
    x_ticks = [t for t in _ticks(1, max(len(values), 2)) if t == int(t)]
    low, high = y_ticks[0], y_ticks[-1]

    def x(i: float) -> float:
        return LEFT + (i - 1) / max(len(values) - 1, 1) * (WIDTH - LEFT - MARGIN)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tick in y_ticks:
        at = f"{y(tick):.1f}"
        parts.append(f'<path d="M{LEFT} {at}H{WIDTH - MARGIN}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        if 1 <= tick <= len(values):
            at = f'x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}"'
            parts.append(f'<text {at} text-anchor="middle">{tick:g}</text>')
    line, dots, pen = [], [], "M"
    for i, value in enumerate(values, start=1):
        if math.isfinite(value):
            line.append(f"{pen}{x(i):.1f} {y(value):.1f}")
            if pen == "M" and (i == len(values) or not math.isfinite(values[i])):
                dots.append(f'<circle cx="{x(i):.1f}" cy="{y(value):.1f}" r="2" fill="#c2255c"/>')
        pen = "L" if math.isfinite(value) else "M"
    parts += [
        *dots,
        f'<path d="{"".join(line)}" fill="none" stroke="#c2255c" stroke-width="2"/>',
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x_label)}</text>",
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
        "</svg>",
    ]
    return "\n".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers that reach from low or below to high or above."""
    rough = max((high - low) / 5, 1e-9 * max(abs(low), abs(high)), 1e-300)  # also for constants
    exponent = math.floor(math.log10(rough))
    steps = (float(f"{k}e{exponent}") for k in (1, 2, 5, 10))
    step = next((s for s in steps if s >= rough), 10 * rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{k * step:.12g}") for k in range(first, max(last, first + 1) + 1)]
