"""Figures of the run: how rows were committed over time, how fast, and where the time went."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from batch.amounts import spell
from batch.page.charts import Bar, bars, line
from batch.page.figure import Figure
from batch.page.gather import Findings
from batch.page.html import NOTHING, Html, folded, table, tag
from batch.page.words import count, number, percent, rough, short
from batch.profile import profile_lines

#: Points of a line and rows of its table; of more, every so many is taken.
MOST_POINTS, MOST_ROWS = 400, 60
#: Stretches of the time in which the rate is counted.
RATE_BINS = 40
#: Between two parts there is a moment; a stretch without work is so much of the time, and so many seconds, at least.
IDLE_SHARE, IDLE_S = 0.04, 10.0
#: Steps of the journey, as the parts name them, in its order.
STEPS = {
    "read": "reading",
    "encode": "encoding",
    "arithmetic": "the arithmetic",
    "decode": "decoding",
    "write": "writing",
    "commit": "committing",
    "isolate": "isolating rows that hurt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When one part was made, in seconds since 1970, and its rows."""

    began: float
    ended: float
    rows: int


def spans_of(found: Findings) -> list[Span]:
    """The parts that say when they were made, in the order of their ends; an end before its beginning is none."""
    parts = [(p["began"], p["ended"], p["rows"]) for p in found.manifest["parts"] if "began" in p and "ended" in p]
    times = [(datetime.fromisoformat(a).timestamp(), datetime.fromisoformat(b).timestamp(), n) for a, b, n in parts]
    return sorted((Span(began=a, ended=max(a, b), rows=n) for a, b, n in times), key=lambda span: span.ended)


def idle_stretches(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """When no part was in work, between the first and the last."""
    idle, busy_until = [], min(span.began for span in spans)
    least = max(IDLE_SHARE * (spans[-1].ended - busy_until), IDLE_S)
    for span in sorted(spans, key=lambda span: span.began):
        if span.began > busy_until + least:
            idle.append((busy_until, span.began))
        busy_until = max(busy_until, span.ended)
    return idle


def time_marks(start: float, length: float) -> tuple[list[tuple[float, str]], str]:
    """Marks of a time axis at shares of its width, and its unit."""
    unit, seconds = next(
        (unit, size) for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
        if length > 2 * size or size == 1
    )  # fmt: skip
    step = next(
        (step * seconds for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if length / (step * seconds) <= 5),
        length / 4,
    )
    step = step if length >= 1 else 10.0 ** round(math.log10(length / 2))
    marks = [(i * step / length, short(round(i * step / seconds, 6))) for i in range(int(length / step + 1e-6) + 1)]
    return marks, f"{unit} since {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M:%S} UTC"


def progress(found: Findings) -> Figure:
    """Rows in committed parts over time."""
    spans = spans_of(found)
    rows = found.manifest["rows"]
    if not spans:
        why = "No part is committed yet" if not found.manifest["parts"] else "When its parts were made is not recorded"
        return Figure(name="progress", title=why)
    start = min(span.began for span in spans)
    length = max(spans[-1].ended - start, 1e-3)
    idle = idle_stretches(spans)
    idle_s = sum(end - begin for begin, end in idle)
    points = [(0.0, 0.0)]
    for span in spans:
        points.append(((span.ended - start) / length, points[-1][1] + span.rows))
    marks, unit = time_marks(start, length)
    attempts = found.manifest["work"]["attempts"] if "work" in found.manifest else 1
    title = f"{count(rows, 'row')} in {spell(length)}" + (f", by {attempts} runs" if attempts > 1 else "")
    if idle:
        title += f"; nobody worked for {spell(idle_s)} of it"
    total = found.input_rows
    filtered = found.record.settings.get("where") or found.record.settings.get("limit")
    goal = None if found.finished else (float(total), f"{'at most ' if filtered else ''}{total:,} rows planned")
    every = max(1, -(-len(points) // MOST_POINTS))
    missing = len(found.manifest["parts"]) - len(spans)
    return Figure(
        name="progress",
        title=title,
        note="Rows in finished parts; each step up is a part."
        + (f" {count(missing, 'part')} of an older version say no time." if missing else ""),
        picture=line(
            points[::every] + points[-1:] * bool((len(points) - 1) % every),
            marks,
            label="Rows in finished parts over time",
            y="rows",
            x=unit,
            goal=goal,
            idle=[((a - start) / length, (b - start) / length, f"idle {spell(b - a)}") for a, b in idle],
        ),
        data=progress_table(points, length),
    )


def progress_table(points: Sequence[tuple[float, float]], length: float) -> Html:
    every = max(1, -(-len(points) // MOST_ROWS))
    chosen = [*points[::every], *(points[-1:] if (len(points) - 1) % every else [])]
    return table(["seconds", "rows"], [[number(share * length), number(rows)] for share, rows in chosen])


def rate(found: Findings) -> Figure | None:
    """Rows a second over time; none where one or two parts would be all there is to see."""
    spans = spans_of(found)
    if len(spans) < 3:
        return None
    start, end = min(span.began for span in spans), max(span.ended for span in spans)
    width = max(end - start, 1e-3) / RATE_BINS
    rates = [0.0] * RATE_BINS
    for span in spans:
        spread(rates, span, start, width)
    marks, unit = time_marks(start, width * RATE_BINS)
    points = [(place / RATE_BINS, value) for place, value in enumerate([*rates, rates[-1]])]
    busy = end - start - sum(b - a for a, b in idle_stretches(spans))
    mean = sum(span.rows for span in spans) / max(busy, 1e-3)
    return Figure(
        name="rate",
        title=f"{rough(mean)} rows/s while it worked, {rough(max(rates))} at best",
        note="Each part's rows, spread evenly over the time in which it was made; starting and loading are not in it.",
        picture=line(points, marks, label="Rows a second over time", y="rows/s", x=unit),
        data=table(
            ["from second", "rows/s"], [[number(place * width), number(value)] for place, value in enumerate(rates)]
        ),
    )


def spread(rates: list[float], span: Span, start: float, width: float) -> None:
    """Add a part's rows a second to the stretches in which it was made."""
    length = max(span.ended - span.began, width / 100)
    first = int((span.began - start) / width)
    for place in range(max(first, 0), len(rates)):
        begin = start + place * width
        overlap = min(begin + width, span.began + length) - max(begin, span.began)
        if overlap <= 0:
            if begin > span.ended:
                return
            continue
        rates[place] += span.rows * overlap / length / width


def time_spent(found: Findings) -> Figure:
    """Seconds of work by step over all parts, and the profile of the run that finished the job."""
    work, run = found.manifest.get("work"), found.manifest["run"]
    spent = {step: seconds for step, seconds in (work["spent_s"] if work else {}).items() if step in STEPS}
    if not any(spent.values()):
        return Figure(name="time", title="Where the time went is not recorded", picture=NOTHING, data=profile(found))
    total, slowest = sum(spent.values()), max(spent, key=lambda step: spent[step])
    rows = [
        Bar(name=name, value=spent[step], text=f"{spell(spent[step])} ({percent(spent[step], total)})")
        for step, name in STEPS.items()
        if step in spent
    ]
    seconds = {step: [name, f"{spent[step]:.3f} s"] for step, name in STEPS.items() if step in spent}
    beside = expected(found)
    machine = f" {count(run['workers'], 'worker')} with {count(run['threads'], 'thread')} each." if run else ""
    return Figure(
        name="time",
        title=f"Most work is {STEPS[slowest]}: {spell(spent[slowest])} of {spell(total)}",
        note="Seconds of work in all parts. Steps run side by side, so they may be more than passed on the clock; "
        f"loading the model is not among them.{machine}{beside}",
        picture=bars(rows, label="Seconds of work by step"),
        data=Html(table(["step", "worked"], list(seconds.values())) + profile(found)),
    )


def expected(found: Findings) -> str:
    """What the last run was expected to take, beside what it took."""
    estimate = found.manifest["run"].get("estimate")
    if not estimate:
        return ""
    seconds, took = estimate["seconds"], estimate["truth"]["seconds"]
    range_ = f"{spell(seconds['low'])} to {spell(seconds['high'])}"
    return f" The last run was expected to take {spell(seconds['value'])} ({range_}), and took {spell(took)}."


def profile(found: Findings) -> Html:
    """The last run's profile as `--profile` shows it."""
    if not found.manifest["run"].get("rows"):
        return NOTHING
    try:
        lines = list(profile_lines(found.manifest["run"]))
    except (KeyError, TypeError):  # another version names its steps otherwise
        return NOTHING
    return folded("The last run's profile", tag("pre", "\n".join(lines)))


def figures(found: Findings) -> Iterator[Figure]:
    yield progress(found)
    if (speed := rate(found)) is not None:
        yield speed
    yield time_spent(found)
