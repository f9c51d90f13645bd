"""What callers may have read and written is what the operator says, however it is spelt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.jobs.errors import JobForbidden, JobRefused
from service.jobs.places import ANYWHERE, settle_places


def settle(place: str, *allowed: str) -> str:
    found = settle_places({"input": place, "output": place}, allowed)
    assert found["input"] == found["output"]
    return str(found["input"])


@pytest.mark.parametrize("place", ["s3://b/a", "s3://b/a/", "s3://b/a/in/*.parquet"])
def test_what_lies_below_an_allowed_prefix_is_taken_as_it_is(place: str) -> None:
    assert settle(place, "s3://b/a/") == settle(place, "s3://other/", "s3://b/a") == place


@pytest.mark.parametrize("place", ["s3://b/ab/", "s3://b/", "s3://c/a/", "s3://b", "/b/a/", "b/a/", "file:///b/a/"])
def test_what_lies_beside_it_is_forbidden(place: str) -> None:
    with pytest.raises(JobForbidden, match=r"^input: jobs of this server read and write s3://b/a/, found"):
        settle(place, "s3://b/a/")


@pytest.mark.parametrize("place", ["in/", "~/in/", "/proc/self/cwd/in/"])
def test_who_may_not_name_a_place_is_not_told_where_it_leads(place: str) -> None:
    with pytest.raises(JobForbidden) as refused:
        settle(place, "s3://b/a/")
    assert repr(place) in str(refused.value)
    assert os.path.realpath(os.path.expanduser(place)) not in str(refused.value)


def test_where_nothing_is_allowed_nothing_is() -> None:
    with pytest.raises(JobForbidden, match="read and write nowhere"):
        settle("s3://b/a/")


def test_all_of_s3_is_no_folder() -> None:
    assert settle("s3://b/a/", "s3://") == "s3://b/a/"
    with pytest.raises(JobForbidden):
        settle("/etc", "s3://")


@pytest.mark.parametrize("place", ["s3://b/a/../c", "/tmp/a/../../etc", "in/../..", "file:///a/%2e%2e/..", "*/../x"])
def test_a_place_with_dots_in_it_is_none(place: str) -> None:
    with pytest.raises(JobRefused, match=r"^input: .* has '\.\.' in it"):
        settle(place, *ANYWHERE)


def test_a_link_out_of_an_allowed_folder_is_seen_through(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    assert settle(f"{inside}/in/", str(inside)) == f"{inside}/in/"
    for place in (f"{inside}/link/in/", f"file://{inside}/link/in/", f"file://{inside}/%6cink/x"):
        with pytest.raises(JobForbidden):
            settle(place, str(inside))


@pytest.mark.parametrize("place", ["file://host/a", "https://a/b", "gs://a/b", "\x00", "a\x00b"])
def test_what_is_no_place_is_said_to_be_none(place: str) -> None:
    with pytest.raises(JobRefused, match=r"^input: "):
        settle(place, *ANYWHERE)


def test_places_that_rows_may_name_are_places_too() -> None:
    spec = {"input": "s3://b/in/", "output": "s3://b/out/", "allow_uri": ["s3://pictures/"]}
    with pytest.raises(JobForbidden, match=r"^allow_uri: "):
        settle_places(spec, ["s3://b/"])
    assert settle_places(spec, ["s3://b/", "s3://pictures/"]) == spec


def test_a_local_path_is_run_as_it_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settle("in/", *ANYWHERE) == f"{tmp_path}/in/"
