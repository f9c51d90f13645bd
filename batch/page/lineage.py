"""Lineage: which model read which input under which settings, and what it made of it, so that it can be found again."""

from __future__ import annotations

import json
from collections.abc import Iterator

from batch.page.gather import Findings
from batch.page.html import NOTHING, Html, folded, table, tag
from batch.page.words import count, moment, number, size

#: Inputs and parts that the page names; all of them stand in `_tandem/`.
MOST_NAMED = 500


def lineage(found: Findings) -> Html:
    """The last card of the page."""
    model, manifest = found.record.model, found.manifest
    facts = {
        "output": found.output,
        "input": str(found.record.settings.get("input", "")),
        "model": f"{model.get('tag')} ({model.get('variant')}), {model.get('task')}",
        "model digest": str(model.get("digest", "")),
        "fingerprint": found.record.fingerprint,
        "manifest digest": manifest["digest"] if found.finished else "the job is not finished",
        "compared": compared(found),
        "looked at": moment(found.looked.isoformat()),
    }
    if manifest.get("retries"):
        facts["retried"] = f"{count(manifest['retries'], 'part')} replaced by tandem retry"
    work = manifest.get("work")
    if work and work["began"]:
        facts["first part begun"], facts["last part written"] = moment(work["began"]), moment(work["ended"])
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", tag("code", fact))) for name, fact in facts.items() if fact
    ]
    settings = [[name, json.dumps(value)] for name, value in found.record.settings.items() if value not in (None, {})]
    versions = sorted(manifest["run"].get("versions", {}).items())
    return tag(
        "section",
        tag("h2", "Where it comes from", id="lineage"),
        tag("div", tag("table", tag("tbody", *rows), class_="facts"), class_="wide", tabindex="0", role="region",
            aria_label="Lineage"),
        folded("Settings that change answers", table(["setting", "value"], settings)),
        folded("Versions", table(["package", "version"], versions)) if versions else NOTHING,
        folded(*inputs(found)),
        folded(*parts(found)),
        class_="card wide-card",
        aria_labelledby="lineage",
    )  # fmt: skip


def compared(found: Findings) -> str:
    """What the comparison with the reference found, in a line."""
    parity = found.manifest["parity"] or {}
    agreement = parity.get("agreement")
    if not isinstance(agreement, dict):
        return str(parity.get("skipped", ""))
    largest = agreement.get("largest")
    return (
        f"with {parity.get('reference')} on {parity.get('rows')} rows: "
        f"largest difference {number(largest) if isinstance(largest, int | float) else largest}"
    )


def inputs(found: Findings) -> tuple[str, Html]:
    """Every object that was read, with the version that was."""
    sizes = {p.key: p.size_bytes for plan in found.plans for shard in plan.shards for p in shard.pieces}
    named = [(key, etag, plan.number) for plan in found.plans for key, etag in plan.objects.items()]
    rows = [
        [key, etag, size(sizes[key]) if key in sizes else "", str(number)] for key, etag, number in named[:MOST_NAMED]
    ]
    title = f"Inputs: {count(len(named), 'object')}, {found.input_rows:,} rows, {size(sum(sizes.values()))}"
    return title, Html(table(["object", "ETag", "size", "plan"], rows) + further(len(named), "_tandem/plan-*.json"))


def parts(found: Findings) -> tuple[str, Html]:
    """Every part that is there."""
    made = found.manifest["parts"]
    rows = [
        [
            part["key"],
            f"{part['rows']:,}",
            f"{part['error_rows']:,}",
            size(part["size_bytes"]),
            moment(part.get("ended")),
        ]
        for part in made[:MOST_NAMED]
    ]
    title = f"Parts: {len(made):,} of {found.shards:,}, {size(sum(part['size_bytes'] for part in made))}"
    where = "_tandem/manifest.json" if found.finished else "the output"
    return title, Html(table(["part", "rows", "errors", "size", "written"], rows) + further(len(made), where))


def further(named: int, where: str) -> Html:
    left = named - MOST_NAMED
    return tag("p", f"{left:,} more stand in {where}.", class_="note") if left > 0 else NOTHING


def tiles(found: Findings) -> Iterator[Html]:
    """The numbers to look at first."""
    manifest, run, work = found.manifest, found.manifest["run"], found.manifest.get("work")
    yield tile("rows", f"{manifest['rows']:,}")
    yield tile("error rows", f"{manifest['error_rows']:,}")
    if manifest["quality"]:
        yield tile("accuracy", f"{manifest['quality']['accuracy']:.4f}")
    if run.get("rows_per_s"):
        yield tile("rows/s, last run", number(run["rows_per_s"] or 0))
    if work and work["padding_share"] is not None:
        yield tile("padding", f"{100 * work['padding_share']:.1f} %")
    if manifest["truncated"]:
        yield tile("truncated", f"{manifest['truncated']:,}")
    yield tile("parts", f"{len(manifest['parts']):,}" + ("" if found.finished else f" of {found.shards:,}"))


def tile(name: str, value: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", value), class_="tile")
