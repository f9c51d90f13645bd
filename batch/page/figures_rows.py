"""Figures of the rows: how long they were, what was answered, how surely, how well, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from batch.account.histogram import LENGTH_EDGES, SCORE_CLASSES, length_above
from batch.account.manifest import Example, Quality
from batch.page.charts import Bar, bars, columns
from batch.page.figure import Figure
from batch.page.gather import Findings
from batch.page.html import NOTHING, Html, table, tag
from batch.page.words import count, cut, number, percent, short

#: Labels and error classes that are drawn; the rest is one bar, and stands in the table.
MOST_BARS, MOST_TABLE_ROWS = 12, 200
#: Labels up to which the confusion matrix fits a card; of more, the commonest confusions are drawn.
MOST_MATRIX = 12


def lengths(found: Findings) -> Figure | None:
    """How long rows were, and what padding added; none for images, which are of one size."""
    counted = {int(edge): rows for edge, rows in found.manifest.get("lengths", {}).items()}
    unit = found.unit
    if unit == "images" or not counted or set(counted) == {1}:
        return None
    pieces, middle = sum(counted.values()), 0
    passed = 0
    for edge, rows in sorted(counted.items()):
        passed += rows
        if 2 * passed >= pieces:
            middle = edge
            break
    edges = [int(edge) for edge in LENGTH_EDGES if min(counted) <= edge <= max(counted)]
    drawn = [
        Bar(name=between(edge), value=counted.get(edge, 0), text=count(counted.get(edge, 0), "row")) for edge in edges
    ]
    every = max(1, -(-len(edges) // 7))
    marks = [((place + 0.5) / len(edges), short(edge)) for place, edge in enumerate(edges) if place % every == 0]
    work = found.manifest.get("work")
    share = work["padding_share"] if work else None
    padding = "" if share is None else f"; padding was {percent(share)} of the arithmetic" if share else "; no padding"
    notes = "Each column reaches about a fifth further than the one before it." if len(edges) > 5 else ""
    if work and work["repeated"]:
        notes += f" {count(work['repeated'], 'piece')} were equal to another and went through the model with it."
    if found.manifest.get("retries"):
        notes += " A row that was run again counts as it did at first, if at all."
    return Figure(
        name="lengths",
        title=f"Half of the rows have {middle:,} {unit} or more{padding}",
        note=notes.strip(),
        picture=columns(drawn, marks, label="Rows by length", y="rows", x=unit),
        data=table([unit, "rows"], [[bar.name, number(bar.value)] for bar in drawn if bar.value]),
    )


def between(edge: int) -> str:
    last = length_above(edge) - 1
    return f"{edge:,}" if last == edge else f"{edge:,} to {last:,}"


def labels(found: Findings) -> Figure | None:
    """What was answered."""
    counted = sorted(found.manifest.get("labels", {}).items(), key=lambda pair: (-pair[1], pair[0]))
    if not counted:
        return None
    total = sum(rows for _, rows in counted)
    drawn = [
        Bar(name=name, value=rows, text=f"{rows:,} ({percent(rows, total)})") for name, rows in counted[:MOST_BARS]
    ]
    if rest := counted[MOST_BARS:]:
        rows = sum(rows for _, rows in rest)
        drawn.append(Bar(name=f"{len(rest):,} others", value=rows, text=f"{rows:,} ({percent(rows, total)})"))
    name, most = counted[0]
    several = found.record.model.get("task") == "text-multi-label-classification"
    of = "labels given" if several else "rows"
    return Figure(
        name="labels",
        title=f"“{cut(name, 40)}” is answered most: {percent(most, total)} of {of}",
        picture=bars(drawn, label="Rows by predicted label"),
        data=table(["label", "rows"], [[name, f"{rows:,}"] for name, rows in counted[:MOST_TABLE_ROWS]]),
    )


def scores(found: Findings) -> Figure | None:
    """How sure the answers are."""
    counted = found.manifest.get("scores", [])
    if len(counted) != SCORE_CLASSES or not any(counted):
        return None
    total = sum(counted)
    sure, unsure = sum(counted[SCORE_CLASSES * 9 // 10 :]), sum(counted[: SCORE_CLASSES // 2])
    names = [f"{place / SCORE_CLASSES:.2f} to {(place + 1) / SCORE_CLASSES:.2f}" for place in range(SCORE_CLASSES)]
    drawn = [Bar(name=name, value=rows, text=count(rows, "row")) for name, rows in zip(names, counted, strict=True)]
    return Figure(
        name="scores",
        title=f"{percent(sure, total)} of the scores are 0.9 or more, {percent(unsure, total)} below 0.5",
        picture=columns(
            drawn, [(tenth / 10, f"{tenth / 10:g}") for tenth in range(0, 11, 2)],
            label="Rows by score", y="rows", x="score of the answered label",
        ),
        data=table(["score", "rows"], [[bar.name, f"{bar.value:,}"] for bar in drawn if bar.value]),
    )  # fmt: skip


def quality(found: Findings) -> Figure | None:
    """True labels beside predicted ones, where the job had any."""
    facts = found.manifest["quality"]
    if facts is None:
        return None
    names, cells = facts["labels"], facts["confusion"]
    wrong = sorted(
        ((rows, names[i], names[j]) for i, row in enumerate(cells) for j, rows in enumerate(row) if rows and i != j),
        reverse=True,
    )
    title = f"{percent(facts['accuracy'])} of {count(facts['rows'], 'labelled row')} are answered right"
    if wrong:
        rows, true, taken = wrong[0]
        title += f"; “{cut(true, 24)}” is taken for “{cut(taken, 24)}” most often ({count(rows, 'row')})"
    if len(names) <= MOST_MATRIX:
        picture, note = matrix(names, cells), "Rows by true label (down) and predicted label (across)."
    else:
        drawn = [
            Bar(name=f"{cut(true, 9)} as {cut(taken, 9)}", value=rows, text=f"{rows:,}", is_wrong=True)
            for rows, true, taken in wrong[:MOST_BARS]
        ]
        picture, note = bars(drawn, label="Commonest confusions"), f"The commonest of {len(wrong):,} confusions."
    width = "double" if MOST_MATRIX >= len(names) > 3 else ""
    return Figure(name="quality", title=title, note=note, picture=picture, data=class_table(facts), width=width)


def matrix(names: Sequence[str], cells: Sequence[Sequence[int]]) -> Html:
    """The confusion matrix as a table whose shades are shares of the true label's rows."""
    head = tag("tr", tag("td", ""), *(tag("th", cut(name, 14), scope="col", title=name) for name in names))
    rows = []
    for i, row in enumerate(cells):
        total = sum(row) or 1
        shades = [f"{'right' if i == j else 'wrong'}-{min(9, -(-9 * rows // total))}" for j, rows in enumerate(row)]
        numbers = [
            tag("td", f"{rows:,}" if rows else "·", class_=shade if rows else "none",
                title=f"{names[i]} answered as {names[j]}: {count(rows, 'row')}")
            for j, (rows, shade) in enumerate(zip(row, shades, strict=True))
        ]  # fmt: skip
        rows.append(tag("tr", tag("th", cut(names[i], 14), scope="row", title=names[i]), *numbers))
    inside = tag("table", tag("thead", head), tag("tbody", *rows), class_="matrix")
    return tag("div", inside, class_="wide", tabindex="0", role="region", aria_label="Confusion matrix")


def class_table(facts: Quality) -> Html:
    rows = [
        [name, *(f"{one[measure]:.3f}" for measure in ("precision", "recall", "f1")), f"{one['rows']:,}"]
        for name, one in list(facts["classes"].items())[:MOST_TABLE_ROWS]
    ]
    return table(["true label", "precision", "recall", "F1", "rows"], rows)


def errors(found: Findings) -> Figure:
    """Which rows have no prediction, and why."""
    manifest = found.manifest
    counted = sorted(manifest["errors"].items(), key=lambda pair: (-pair[1], pair[0]))
    if not counted:
        title = "Every row has a prediction" if manifest["rows"] else "No row yet"
        return Figure(name="errors", title=title, width="wide")
    total = manifest["error_rows"]
    kinds = ", ".join(f"{rows:,} {kind}" for kind, rows in counted[:3]) + (", ..." if len(counted) > 3 else "")
    have = "has" if total == 1 else "have"
    title = f"{count(total, 'row')} of {manifest['rows']:,} {have} no prediction: {kinds}"
    if len(counted) == 1:
        title = f"{count(total, 'row')} of {manifest['rows']:,} {have} no prediction: {counted[0][0]}"
    examples: dict[str, list[Example]] = {}
    for example in manifest.get("examples", []):
        examples.setdefault(example["class"], []).append(example)
    rows = [
        tag(
            "tr",
            tag("td", tag("code", kind), class_="kind"),
            tag("td", f"{rows:,}", class_="number"),
            tag("td", example_list(examples.get(kind, []))),
        )
        for kind, rows in counted[:MOST_TABLE_ROWS]
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("class", "rows", "such as")))
    listed = tag("table", tag("thead", head), tag("tbody", *rows))
    return Figure(
        name="errors",
        title=title,
        note=f"All of them: tandem errors {found.output}. Run them again: tandem retry {found.output}.",
        picture=tag("div", listed, class_="wide", tabindex="0", role="region", aria_label="Errors by class"),
        width="wide",
    )


def example_list(examples: Sequence[Example]) -> Html:
    if not examples:
        return NOTHING
    return tag("ul", *(
        tag("li", tag("span", example["message"], class_="data"), Html("<br>"),
            tag("small", f"{example['source']}, row {example['row']:,}", class_="data"))
        for example in examples
    ))  # fmt: skip


def figures(found: Findings) -> Iterator[Figure]:
    made: list[Any] = [quality(found), labels(found), scores(found), lengths(found)]
    yield from (figure for figure in made if figure is not None)
