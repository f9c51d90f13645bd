"""Page: everything that was found as one HTML file, which loads nothing, runs nothing and works from a folder."""

from __future__ import annotations

import base64
import hashlib

from batch.page.figures_rows import errors
from batch.page.figures_rows import figures as row_figures
from batch.page.figures_run import figures as run_figures
from batch.page.gather import Findings
from batch.page.html import NOTHING, Html, joined, tag
from batch.page.lineage import lineage, tiles
from batch.page.style import STYLE
from batch.page.words import count, moment


def draw_page(found: Findings) -> str:
    """The report as HTML.

    Its policy lets a browser run no script, load nothing from anywhere, and take one style: this file's own.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = headline(found)
    head = tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    cards = [figure.to_html() for figure in [*run_figures(found), *row_figures(found), errors(found)]]
    body = tag(
        "main",
        tag("h1", title),
        tag("p", lead(found), class_="lead"),
        banner(found),
        tag("dl", *tiles(found), class_="tiles"),
        tag("div", joined(cards), lineage(found), class_="cards"),
        tag("footer", tag("p", f"Written by tandem report on {moment(found.looked.isoformat())}.", class_="note")),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def headline(found: Findings) -> str:
    """What the job came to, in a line."""
    manifest, name = found.manifest, str(found.record.model.get("tag", "")).partition(":")[0]
    if not found.finished:
        return f"{name}: unfinished, {len(manifest['parts']):,} of {found.shards:,} parts are there"
    failed = count(manifest["error_rows"], "error row") if manifest["error_rows"] else "none failed"
    return f"{name}: {count(manifest['rows'], 'row')} predicted, {failed}"


def lead(found: Findings) -> str:
    model = found.record.model
    source = found.record.settings.get("input", "")
    return f"{model.get('tag')} ({model.get('variant')}) over {source}, into {found.output}"


def banner(found: Findings) -> Html:
    if found.finished:
        return NOTHING
    said = (
        "This job is not finished: what follows counts the parts that are there. They stay; "
        "the same tandem run again goes on from here."
    )
    return tag("p", said, class_="banner", role="status")
