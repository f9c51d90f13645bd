"""The page's files are those of a table, and come with headers that let nothing else in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.routes import make_app
from service.ui.files import TYPES, read_files
from service.ui.handlers import POLICY

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "service" / "ui" / "static"
NAMES = sorted(set(TYPES) - {"index.html"})


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(make_app(), follow_redirects=False)  # without its lifespan: the page's files need no models


def test_the_table_names_every_file_of_the_folder_and_no_other() -> None:
    assert sorted(TYPES) == sorted(path.name for path in STATIC.iterdir())


def test_every_file_comes_with_its_type_and_the_policy(client: TestClient) -> None:
    for path, name in [("/ui", "index.html"), *((f"/ui/static/{name}", name) for name in NAMES)]:
        reply = client.get(path)
        assert reply.status_code == 200, path
        assert reply.content == (STATIC / name).read_bytes()
        assert reply.headers["content-type"].startswith(TYPES[name])
        assert reply.headers["content-security-policy"] == POLICY
        assert client.head(path).status_code == 200
    assert "unsafe" not in POLICY


def test_a_file_that_the_caller_has_is_not_sent_again(client: TestClient) -> None:
    etag = client.get("/ui").headers["etag"]
    for asked in (etag, f'W/{etag}, "other"', '"other", ' + etag, "*"):
        reply = client.get("/ui", headers={"If-None-Match": asked})
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)
    assert client.get("/ui", headers={"If-None-Match": '"other"'}).status_code == 200
    assert len({file.etag for file in read_files().values()}) == len(TYPES)


@pytest.mark.parametrize(
    "name", ["handlers.py", "../handlers.py", "..%2Fhandlers.py", "%2Fetc%2Fpasswd", "index.html", "page.css%00"]
)
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/ui/static/{name}").status_code == 404


def test_the_root_leads_to_the_page(client: TestClient) -> None:
    reply = client.get("/")
    assert (reply.status_code, reply.headers["location"]) == (307, "/ui")


def test_the_page_names_no_other_host_and_holds_nothing_inline() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//", text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)


def test_a_wheel_and_a_bento_take_the_files_along() -> None:
    """A wheel holds all of its packages that git does not ignore; test_bento.py looks into a built bento."""
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, STATIC.iterdir())], cwd=ROOT, capture_output=True, text=True
    )
    assert ignored.stdout == ""
    assert 'packages = ["service", "batch", "models"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "service/ui/static/*" in (ROOT / "bentofile.yaml").read_text(encoding="utf-8")
