"""The page says what the job did, loads nothing, runs nothing, and shows data as text whatever is in it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.commit import MANIFEST, SUCCESS
from batch.page.gather import gather
from batch.page.html import escape, tag
from batch.page.page import draw_page
from batch.run import run_job
from tests.batch.browser import CHROMIUM, MISSING, look, measure, take_picture
from tests.batch.command import Command, assert_refused
from tests.batch.places import WORD_COUNT, Folder, Place, part_keys, put_table, read_json, texts

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
OUT = "out/"
EVIL = "<script>document.title='owned'</script><img src=http://192.0.2.1/x onerror=alert(1)>\"'&\x00\u202e"


def run(place: Place, **more: Any) -> dict[str, Any]:
    places = {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}{OUT}"}
    return dict(run_job(places | more))


def fill(place: Place, shards: int = 4) -> None:
    """Texts of few and many words, labelled, some null, in several parts."""
    for number in range(shards):
        table = texts(40, first=40 * number)
        truth = ["many" if i % 7 >= 3 or i % 10 == 0 else "few" for i in range(40)]
        put_table(place, f"in/p={number}/a.parquet", table.append_column("truth", pa.array(truth)))
    odd = pa.table({"id": [900, 901], "text": pa.array([None, "a"]), "truth": ["few", "few"]})
    put_table(place, "in/p=x/odd.parquet", odd)


def page_of(place: Place) -> str:
    return draw_page(gather(f"{place.url}{OUT}"))


class Reader(HTMLParser):
    """The page's tags, its headings and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.words = ""
        self.inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name not in ("meta", "br"):
            self.inside.append(name)
        if name in ("h1", "h2"):
            self.headings.append("")

    def handle_endtag(self, name: str) -> None:
        assert self.inside.pop() == name, f"</{name}> closes nothing"

    def handle_data(self, words: str) -> None:
        if "style" not in self.inside:
            self.words += words
        if self.inside[-1:] in (["h1"], ["h2"]):
            self.headings[-1] += words


def test_a_finished_jobs_page_says_what_was_found(place: Place) -> None:
    fill(place)
    manifest = run(place, label="truth", window_rows=16)
    read = Reader(page_of(place))
    assert read.inside == []
    assert read.headings[0] == "word-count: 162 rows predicted, 1 error row"
    accuracy = manifest["quality"]["accuracy"]
    found = "\n".join(read.headings)
    assert re.search(r"162 rows in .* s", found)
    assert f"{100 * accuracy:.1f} % of 161 labelled rows are answered right; “few” is taken for “many”" in found or (
        f"{100 * accuracy:.1f} % of 161 labelled rows are answered right; “many” is taken for “few”" in found
    )
    assert "“many” is answered most" in found
    assert "of the scores are 0.9 or more" in found
    assert "Most work is" in found
    assert "1 row of 162 has no prediction: NullValue" in found
    assert f"{place.url}in/p=x/odd.parquet, row 0" in read.words
    for key, etag in read_json(place, "out/_tandem/plan-0.json")["objects"].items():
        assert key in read.words
        assert etag in read.words
    for fact in (manifest["digest"], manifest["fingerprint"], manifest["model"]["digest"], "pyarrow", "onnx"):
        assert fact in read.words or fact == "onnx"
    assert all(part["key"] in read.words for part in manifest["parts"])


def test_every_picture_has_a_name_and_a_table_beside_it(folder: Folder) -> None:
    fill(folder)
    run(folder, label="truth")
    page = page_of(folder)
    sections = re.findall(r"<section.*?</section>", page, re.DOTALL)
    pictures = [section for section in sections if "<svg" in section]
    assert len(pictures) >= 5
    for section in pictures:
        assert re.search(r'<svg [^>]*role="img" aria-label="[^"]+"', section)
        assert "<summary>As a table</summary>" in section
        assert "<table>" in section.partition("As a table")[2]
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_stretch_in_which_nobody_worked_is_told_from_work(folder: Folder) -> None:
    """Two runs with an hour between them: the rate is that of the work, and the hour is shown."""
    fill(folder)
    run(folder)
    manifest = read_json(folder, OUT + MANIFEST)
    for number, part in enumerate(manifest["parts"]):
        first = 60 * number + (3600 if number >= 3 else 0)
        part["began"], part["ended"] = (
            f"2026-11-22T{t // 3600:02}:{t // 60 % 60:02}:00+00:00" for t in (first, first + 60)
        )
    manifest["work"]["attempts"] = 2
    folder.put(OUT + MANIFEST, json.dumps(manifest).encode())
    page = page_of(folder)
    assert "162 rows in 65 min, by 2 runs; nobody worked for 60 min of it" in page
    assert "idle 60 min" in page
    assert "0.54 rows/s while it worked" in page


def test_what_was_expected_stands_beside_what_it_took(folder: Folder) -> None:
    fill(folder)
    run(folder)
    manifest = read_json(folder, OUT + MANIFEST)
    about = {"value": 12.0, "low": 9.0, "high": 15.0}
    manifest["run"]["estimate"] = {
        "by": "plan",
        "confidence": 0.9,
        "price_per_hour": None,
        "cost": None,
        "measured": True,
        "corrected_by": 1.0,
        **dict.fromkeys(("rows", "seconds", "output_bytes", "memory_bytes"), about),
        "sample": {"rows": 64, "row_groups": 2, "bytes": 9000, "answered": 64, "seconds": 0.5},
        "truth": {"seconds": 11.0, "rows": 162, "memory_bytes": None, "seconds_within": True},
    }
    folder.put(OUT + MANIFEST, json.dumps(manifest).encode())
    assert "expected to take 12 s (9 s to 15 s), and took 11 s" in page_of(folder)


def test_an_unfinished_jobs_page_says_so_and_counts_what_is_there(place: Place) -> None:
    fill(place)
    run(place)
    gone = next(key for key in part_keys(place) if "p=1" in key)
    for key in (gone, OUT + SUCCESS, OUT + MANIFEST):
        place.delete(key)
    read = Reader(page_of(place))
    assert read.headings[0] == "word-count: unfinished, 4 of 5 parts are there"
    assert "This job is not finished" in read.words
    assert "162 rows planned" in read.words
    assert "1 row of 122 has no prediction" in "\n".join(read.headings)


def test_of_a_table_the_job_that_readers_see_is_reported(folder: Folder) -> None:
    fill(folder)
    run(folder, table="delta")
    run(folder, table="delta", limit=50)
    assert Reader(page_of(folder)).headings[0] == "word-count: 50 rows predicted, none failed"


def test_a_job_that_has_no_part_yet_has_a_page(folder: Folder) -> None:
    fill(folder)
    run(folder)
    for key in [*part_keys(folder), OUT + SUCCESS, OUT + MANIFEST]:
        folder.delete(key)
    read = Reader(page_of(folder))
    assert "unfinished, 0 of 5 parts" in read.headings[0]
    assert "No part is committed yet" in read.headings


def test_a_page_of_parts_that_say_less_shows_what_they_say(folder: Folder) -> None:
    """The manifest of an older version has neither labels nor times."""
    fill(folder)
    run(folder, label="truth")
    manifest = read_json(folder, OUT + MANIFEST)
    for name in ("labels", "scores", "lengths", "examples", "work"):
        del manifest[name]
    manifest["parts"] = [
        {name: fact for name, fact in part.items() if name not in ("began", "ended")} for part in manifest["parts"]
    ]
    folder.put(OUT + MANIFEST, json.dumps(manifest).encode())
    read = Reader(page_of(folder))
    assert "When its parts were made is not recorded" in read.headings
    assert any("labelled rows are answered right" in heading for heading in read.headings)
    assert "1 row of 162 has no prediction: NullValue" in read.headings


def test_data_is_shown_as_text_whatever_is_in_it(folder: Folder) -> None:
    name = "in/<b onclick=x>&amp;\"'.parquet"
    put_table(
        folder, name, pa.table({"text": [EVIL.replace("\x00", ""), "a", "b"], "truth": [EVIL, EVIL + "2", "few"]})
    )
    run(folder, model="tests.batch.own_models:EchoModel", label="truth", where="text <> '<i>'")
    put_table(folder, "in/z.parquet", pa.table({"text": [EVIL], "truth": ["few"]}))
    page = page_of(folder)
    read = Reader(page)
    assert {name for name, _ in read.tags} <= KNOWN
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert "<script" not in page
    assert html.escape("<script>document.title='owned'") in page
    assert html.escape(name.removeprefix("in/"), quote=True) in page
    assert "\x00" not in page


KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "dl", "dt", "dd", "div", "section"),
    *("svg", "rect", "line", "text", "polyline", "polygon", "table", "thead", "tbody", "tr", "th", "td", "caption"),
    *("details", "summary", "pre", "code", "ul", "li", "span", "small", "br", "footer"),
}


def test_text_becomes_markup_nowhere() -> None:
    assert tag("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"
    assert escape("a\x00\x1b\ud800b\n") == "a���b\n"


def test_the_command_writes_the_file_and_says_what_is_in_it(folder: Folder, tmp_path: Path, command: Command) -> None:
    fill(folder)
    run(folder)
    end = command("report", f"{folder.url}{OUT}", "-o", str(tmp_path / "page.html"))
    assert (end.code, end.out.splitlines()[0]) == (0, "word-count: 162 rows predicted, 1 error row")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_what_cannot_be_reported_is_one_line(folder: Folder, tmp_path: Path, command: Command) -> None:
    fill(folder)
    assert_refused(command("report", f"{folder.url}nothing/"), 2, "no job has begun here")
    run(folder)
    nowhere = str(tmp_path / "no/such/folder/page.html")
    assert_refused(command("report", f"{folder.url}{OUT}", "-o", nowhere), 2, nowhere, "name another file with -o")
    folder.put(OUT + MANIFEST, b'{"plans": 1, "rows": "<many>"}')
    end = command("report", f"{folder.url}{OUT}", "-o", str(tmp_path / "page.html"))
    assert_refused(end, 2, "is no manifest", "that this version reads")


@needs_chromium
def test_a_browser_shows_it_asks_for_nothing_and_complains_of_nothing(folder: Folder, tmp_path: Path) -> None:
    fill(folder)
    run(folder, label="truth")
    page = tmp_path / "page.html"
    page.write_text(page_of(folder), encoding="utf-8")
    seen = look(page.as_uri())
    assert seen.requests == []
    assert seen.console == []
    read = Reader(seen.dom)
    assert "word-count: 162 rows predicted, 1 error row" in read.headings
    assert seen.dom.count("<svg") >= 5
    for width in (1280, 400):
        picture = tmp_path / f"{width}.png"
        take_picture(page.as_uri(), picture, width=width, height=1400)
        assert picture.stat().st_size > 20_000, "the page is not blank"


@needs_chromium
def test_it_fits_a_telephone_and_what_is_wider_scrolls_by_itself(folder: Folder, tmp_path: Path) -> None:
    """Names without a place to break at are the widest that data brings."""
    fill(folder)
    put_table(folder, f"in/p=y/{'long' * 40}.parquet", pa.table({"id": [1], "text": [None], "truth": ["few" * 60]}))
    output = f"{folder.url}{'wide' * 50}/"
    run(folder, label="truth", output=output)
    report = draw_page(gather(output))
    for width in (1280, 500, 400):
        page, window = measure(report, "[document.body.scrollWidth, innerWidth]", tmp_path, width=width)
        assert page <= window <= max(width, 500)


@needs_chromium
def test_a_browser_runs_nothing_that_data_brings(folder: Folder, tmp_path: Path) -> None:
    """And would not even where markup came through: the page's policy forbids scripts, pictures and other styles."""
    table = pa.table({"text": [EVIL.replace("\x00", "")] * 3})
    put_table(folder, "in/a.parquet", table)
    run(folder, model="tests.batch.own_models:EchoModel")
    page = tmp_path / "page.html"
    page.write_text(page_of(folder), encoding="utf-8")
    seen = look(page.as_uri())
    assert "<title>word-count" in seen.dom
    assert seen.requests == []
    assert seen.console == []
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text(encoding="utf-8").replace("</main>", f"{EVIL[:-2]}</main>"), encoding="utf-8")
    seen = look(broken.as_uri())
    assert "<title>word-count" in seen.dom, "the script did not run"
    assert seen.requests == []
    assert any("Content Security Policy" in line for line in seen.console), "and the browser says why"


@needs_chromium
def test_a_request_or_a_complaint_would_have_been_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><img src='http://127.0.0.1:9/x.png'><script>console.error('oh')</script>")
    seen = look(page.as_uri())
    assert "http://127.0.0.1:9/x.png" in seen.requests
    assert any("oh" in line for line in seen.console)
