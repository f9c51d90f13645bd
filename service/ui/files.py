"""The page's files: a fixed table of names, read once, each with its digest for caches to ask by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

HTML, CSS, JS, SVG = "text/html", "text/css", "text/javascript", "image/svg+xml"
#: Every file that is served, with its media type. What is not named here is not served, whatever a path says.
TYPES: Mapping[str, str] = {
    "index.html": HTML,
    "page.css": CSS,
    "icon.svg": SVG,
    **dict.fromkeys(
        (
            "answers.js",
            "api.js",
            "charts.js",
            "elements.js",
            "examples.js",
            "inputs.js",
            "job_card.js",
            "job_form.js",
            "jobs.js",
            "key.js",
            "load.js",
            "main.js",
            "models.js",
            "try.js",
            "words.js",
        ),
        JS,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str
    etag: str


@cache
def read_files() -> Mapping[str, PageFile]:
    """Name -> file, of all of them."""
    folder = files("service.ui") / "static"
    found = {}
    for name, media_type in TYPES.items():
        content = (folder / name).read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        found[name] = PageFile(content=content, media_type=media_type, etag=etag)
    return found
