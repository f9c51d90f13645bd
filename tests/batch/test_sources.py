"""Which objects an --input names."""

from pathlib import Path

import pytest

from batch.errors import InputNotFound, UsageError
from batch.stores.storage import list_sources, open_store

KEYS = [
    "a.parquet",
    "b.parq",
    "c.PARQUET",
    "d.csv",
    "e.pq",
    "day=1/f.parquet",
    "day=2/f.parquet",
    "_year=3/g.parquet",
    "_tandem/plan-0.json",
    "_delta_log/h.parquet",
    "day=1/_i.parquet",
    "day=1/.j.parquet",
    "deep/er/k.parquet",
]


@pytest.fixture(scope="module", params=[pytest.param("s3", marks=pytest.mark.s3), "local"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The url of a place that holds KEYS and, beside it, what must not be found."""
    if request.param == "s3":
        request.getfixturevalue("s3_client").create_bucket(Bucket="test-sources")
        place = "s3://test-sources"
    else:
        place = str(tmp_path_factory.mktemp("sources"))
    store = open_store(place)
    for key in KEYS:
        store.put_if_absent(f"in/{key}", b"", attempt="one")
    store.put_if_absent("input/elsewhere.parquet", b"", attempt="one")
    return f"{place}/in"


DEEP = ["day=1/f.parquet", "day=2/f.parquet", "deep/er/k.parquet"]
FOLDER = ["_year=3/g.parquet", "a.parquet", "b.parq", "c.PARQUET", *DEEP]


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", FOLDER),
        ("/", FOLDER),
        ("/a.parquet", ["a.parquet"]),
        ("/d.csv", ["d.csv"]),
        ("/day=1/_i.parquet", ["_i.parquet"]),
        ("/day=1", ["f.parquet"]),
        ("/*.parquet", ["a.parquet"]),
        ("/*", ["a.parquet", "b.parq", "c.PARQUET"]),
        ("/?.p*", ["a.parquet", "b.parq", "e.pq"]),
        ("/*.pq", ["e.pq"]),
        ("/[ab].*", ["a.parquet", "b.parq"]),
        ("/[!a].parq", ["b.parq"]),
        ("/day=*/f.parquet", ["day=1/f.parquet", "day=2/f.parquet"]),
        ("/**/*.parquet", ["_year=3/g.parquet", "a.parquet", *DEEP]),
        ("/d*/**", DEEP),
    ],
)
def test_an_input_names(root: str, url: str, keys: list[str]) -> None:
    found = list_sources(root + url)
    assert [info.key for info in found.objects] == keys
    for info in found.objects:
        head = found.store.head(info.key)
        assert head is not None
        assert (info.size_bytes, info.etag) == (head.size_bytes, head.etag)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/nope", "no object is there"),
        ("/nope/", "no object is there"),
        ("/nope/*.parquet", "no object is there"),
        ("/_tandem", "it has 1 object, and none is named"),
        ("/day=1/*.csv", r"it has 3 objects, and none matches \*\.csv"),
    ],
)
def test_an_input_that_names_nothing_is_refused_with_what_is_there(root: str, url: str, message: str) -> None:
    with pytest.raises(InputNotFound, match=message) as caught:
        list_sources(root + url)
    assert str(caught.value).startswith(root + url)


def test_a_relative_folder_a_file_url_and_a_name_with_a_bracket_are_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a [1].parquet").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for url in ("in", "in/", "./in/*.parquet", (tmp_path / "in").as_uri(), "in/a [1].parquet", "**/*.parquet"):
        found = list_sources(url)
        assert found.store.url_of(found.objects[0].key) == f"{tmp_path}/in/a [1].parquet"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/in", "expected s3://bucket/prefix/ or a local folder"),
        ("", "expected s3://"),
        ("s3://", "names no bucket"),
        ("s3://buck*/in", "wildcard in its bucket"),
        ("file://host/in", "names a host"),
    ],
)
def test_a_url_that_is_no_place_is_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list_sources(url)


def test_a_local_job_needs_no_boto3() -> None:
    import subprocess
    import sys

    code = "import sys; from batch.stores.storage import list_sources\n"
    code += "import batch.stores.probe, batch.parquet_source, batch.where\n"
    code += "assert not {'boto3', 'botocore', 'sqlglot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
