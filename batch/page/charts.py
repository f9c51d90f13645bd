"""Charts: SVG of rectangles, lines and words, drawn for a card of about 400 pixels; colours come from the page's style.

Every mark carries a <title> that a pointer brings up; the page gives each chart a table besides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batch.page.html import Html, joined, tag
from batch.page.words import cut, short

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 24, 40
PLOT_W, PLOT_H = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: what it stands for, how long it is, and what is written beside it."""

    name: str
    value: float
    text: str
    is_wrong: bool = False


def ticks(most: float, wanted: int = 4) -> list[float]:
    """Round numbers from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / wanted
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.999)
    return [round(i * step, 10) for i in range(math.ceil(most / step - 1e-9) + 1)]


def text(x: float, y: float, words: str, *, anchor: str = "middle", class_: str | None = None) -> Html:
    return tag("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def svg(height: float, label: str, *inside: Html) -> Html:
    return tag("svg", *inside, **{"viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "aria-label": label})


def y_axis(scale: Sequence[float], unit: str) -> Html:
    """Lines across the plot with their numbers, and what they count above them."""
    lines = []
    for value in scale:
        y = TOP + PLOT_H * (1 - value / scale[-1])
        lines.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        lines.append(text(LEFT - 5, y + 4, short(value), anchor="end"))
    return joined([*lines, text(0, 11, unit, anchor="start", class_="unit")])


def x_axis(marks: Sequence[tuple[float, str]], unit: str) -> Html:
    """Numbers under the plot at shares of its width, and what they count."""
    labels = [
        text(LEFT + PLOT_W * min(max(share, 0.0), 1.0), TOP + PLOT_H + 15, words, anchor=anchor_at(share))
        for share, words in marks
    ]
    return joined([*labels, text(LEFT + PLOT_W / 2, HEIGHT - 6, unit, class_="unit")])


def anchor_at(share: float) -> str:
    return "start" if share < 0.02 else "end" if share > 0.98 else "middle"


def columns(bars: Sequence[Bar], marks: Sequence[tuple[float, str]], *, label: str, y: str, x: str) -> Html:
    """Columns of equal width side by side, as of a histogram."""
    scale = ticks(max((bar.value for bar in bars), default=0))
    width = PLOT_W / max(len(bars), 1)
    gap = min(2.0, width / 5)
    drawn = []
    for place, bar in enumerate(bars):
        height = PLOT_H * bar.value / scale[-1]
        drawn.append(
            tag(
                "rect",
                tag("title", f"{bar.name}: {bar.text}"),
                x=LEFT + place * width + gap / 2,
                y=TOP + PLOT_H - height,
                width=max(width - gap, 0.5),
                height=max(height, 0.8) if bar.value else 0,
                class_="mark",
            )
        )
    return svg(HEIGHT, label, y_axis(scale, y), joined(drawn), x_axis(marks, x))


def bars(rows: Sequence[Bar], *, label: str) -> Html:
    """Bars one under another, each with its name before and its number behind it: no axis is needed."""
    most = max((bar.value for bar in rows), default=0) or 1
    names = 4 + max((min(len(bar.name), 20) for bar in rows), default=4) * 6.8
    behind = 10 + max((len(bar.text) for bar in rows), default=4) * 6.6
    room = max(WIDTH - names - behind, 60)
    drawn = []
    for place, bar in enumerate(rows):
        y = 4 + place * 24
        length = max(room * bar.value / most, 1.0 if bar.value else 0.0)
        drawn += [
            text(names - 6, y + 14, cut(bar.name, 20), anchor="end"),
            tag(
                "rect",
                tag("title", f"{bar.name}: {bar.text}"),
                x=names,
                y=y,
                width=length,
                height=18,
                class_="mark wrong" if bar.is_wrong else "mark",
            ),
            text(names + length + 5, y + 14, bar.text, anchor="start", class_="value"),
        ]
    return svg(8 + 24 * len(rows), label, joined(drawn))


def line(
    points: Sequence[tuple[float, float]],
    marks: Sequence[tuple[float, str]],
    *,
    label: str,
    y: str,
    x: str,
    most: float | None = None,
    goal: tuple[float, str] | None = None,
    idle: Sequence[tuple[float, float, str]] = (),
    stepped: bool = True,
) -> Html:
    """A line over shares of the plot's width, in steps or straight.

    Args:
        points: (share of the width, value), ascending.
        marks: of the axis under it.
        label: what it is a picture of.
        y: what the values count.
        x: what the width counts.
        most: the least that the axis reaches to.
        goal: a value to come to, and its name.
        idle: (from, to, what): stretches of the width in which nothing was going on.
        stepped: a value holds until the next.
    """
    scale = ticks(max([most or 0, goal[0] if goal else 0, *(value for _, value in points)]))
    drawn = [y_axis(scale, y)]

    def place(share: float, value: float) -> str:
        return f"{LEFT + PLOT_W * share:.1f},{TOP + PLOT_H * (1 - value / scale[-1]):.1f}"

    for start, end, words in idle:
        x1, wide = LEFT + PLOT_W * start, PLOT_W * (end - start)
        drawn.append(tag("rect", tag("title", words), x=x1, y=TOP, width=wide, height=PLOT_H, class_="idle"))
        if wide > 6.5 * len(words):
            drawn.append(text(x1 + wide / 2, TOP + PLOT_H / 2, words, class_="unit"))
    path: list[str] = []
    for before, (share, value) in zip([None, *points], points, strict=False):
        if stepped and before is not None:
            path.append(place(share, before[1]))
        path.append(place(share, value))
    if path:
        area = [place(points[0][0], 0), *path, place(points[-1][0], 0)]
        drawn.append(tag("polygon", points=" ".join(area), class_="area"))
        drawn.append(tag("polyline", points=" ".join(path), class_="line"))
    if goal is not None:
        height = TOP + PLOT_H * (1 - goal[0] / scale[-1])
        drawn.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, class_="goal"))
        drawn.append(text(LEFT + 4, height - 4, goal[1], anchor="start", class_="unit"))
    return svg(HEIGHT, label, joined(drawn), x_axis(marks, x))
