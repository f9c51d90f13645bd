"""Chromium without a window: what it makes of a page, what it complains of, and whom it asks for anything."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = "no Chromium here: on Debian, apt-get install chromium"

#: Chromium leaves what it would do by itself over a network, and finds no other machine than this.
ALONE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of a page.

    Attributes:
        dom: the page as the browser has it.
        console: what was written to its console; what its policy forbids is complained of there.
        requests: every url that the page asked for, whether it was found or not.
    """

    dom: str
    console: list[str]
    requests: list[str]


def look(url: str) -> Seen:
    """Open a page and wait until it has loaded."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        found = start("--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom", url)
        console = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
        return Seen(dom=found.stdout, console=console, requests=requested(log))


def take_picture(url: str, picture: Path, *, width: int, height: int, dark: bool = False) -> None:
    """A PNG of the page's upper left, so wide and so high."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    start(f"--window-size={width},{height}", *scheme, f"--screenshot={picture}", url)


def measure(page: str, expression: str, folder: Path, *, width: int) -> Any:
    """What an expression is in a page of such a width; asked of a copy that lets this one script run."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert policy.search(page)
    ask = f"<script>document.documentElement.dataset.found = JSON.stringify({expression})</script></body>"
    copy = folder / "measured.html"
    copy.write_text(policy.sub("", page).replace("</body>", ask), encoding="utf-8")
    dom = start(f"--window-size={width},900", "--dump-dom", copy.as_uri()).stdout
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def start(*words: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None, MISSING
    with tempfile.TemporaryDirectory() as profile:
        command = [CHROMIUM, *ALONE, f"--user-data-dir={profile}", *words]
        found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return found


def requested(log: Path) -> list[str]:
    """The urls of a net log that the page asked for; those of the browser's own come from no origin."""
    content = json.loads(log.read_text())
    kinds = content["constants"]["logEventTypes"]
    asked = [event.get("params", {}) for event in content["events"] if event["type"] == kinds["URL_REQUEST_START_JOB"]]
    return [one["url"] for one in asked if one.get("initiator", "not an origin") != "not an origin"]
