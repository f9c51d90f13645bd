"""Whatever a job file, a name or a schema says, `tandem plan` plans, or says one line and an exit code.

Examples are drawn from the same seed every time; `python -m pytest tests/batch/test_fuzz.py --hypothesis-seed=N` with
HYPOTHESIS_PROFILE=long draws others, and many more.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from batch.amounts import counted
from batch.cli.answer import answer
from batch.run import run_job
from batch.spec import JobSpec
from tests.batch.command import Ended
from tests.batch.places import WORD_COUNT, parquet_bytes, texts

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
FUZZ = settings(
    max_examples=3000 if LONG else 120,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # to shrink a failure takes minutes
)


def plan(*words: str) -> Ended:
    """`tandem plan` in this process; any exception but ours leaves it as a traceback would."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["tandem", "plan", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            answer()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code=code, out=out.getvalue(), err=err.getvalue())


def assert_planned_or_refused(end: Ended) -> None:
    if end.code == 0:
        assert "to do" in end.out
        return
    assert end.code in (2, 3, 77), end.err
    assert end.out == ""
    lines = [line for line in end.err.splitlines() if line.startswith("tandem: ")]
    assert len(lines) == 1, end.err
    assert "Traceback" not in end.err
    assert len(lines[0]) < 20_000


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.dates()
    | st.binary(max_size=8)
    | st.sampled_from(
        [10**400, -(2**63), 2**64, "1e400GB", "9" * 5000 + "GB", "\0", "..", "s3://", "file://h/x", "~x/"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    "in/",
    "in/*.parquet",
    "in",
    "out",
    "s3:///k",
    "s3://../x",
    "s3://b/../c",
    "http://x/y",
    "\0",
    "none/",
    "x" * 300,
]
#: Values that a setting could have, beside anything at all.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from([WORD_COUNT, WORD_COUNT, "nobody", "./none", "tests.nothing:X", "x" * 400, "a:b", "~q/r"]),
    "input": st.sampled_from(["in/", *PLACES]),
    "output": st.sampled_from(["out/", *PLACES]),
    "column": st.sampled_from([{"text": "text"}, {"text": "id"}, ["text=text"], "text=text", {"a": "b"}]),
    "keep": st.sampled_from([["id"], "id", [], ["id", "id"], ["none"], ""]),
    "where": st.sampled_from(
        ["id > 3", "id = = 3", "text LIKE '%a%'", "(" * 300, "id IN (1)", "1 = 1", "NOT NULL", "'"]
    )
    | st.text(max_size=20).map(lambda text: f"id > 3 AND {text}"),
    "limit": st.integers(-1, 5),
    "label": st.sampled_from(["id", "text", "none"]),
}
SETTINGS = st.fixed_dictionaries(
    {}, optional={name: LIKELY.get(name, st.nothing()) | ANYTHING for name in JobSpec.model_fields}
)
GOOD = {"model": WORD_COUNT, "input": "in/", "output": "out/"}
JOBS = st.one_of(
    st.builds(lambda more: GOOD | more, SETTINGS),
    st.builds(lambda more, name, value: GOOD | more | {name: value}, SETTINGS, st.text(max_size=12), ANYTHING),
    SETTINGS,
    ANYTHING,
)


@contextlib.contextmanager
def at_home() -> Any:
    """An empty folder with a small input, in which relative names are; nothing outside it is anybody's input."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as home, patch.dict(os.environ, {"BENTOML_HOME": home, "AWS_MAX_ATTEMPTS": "1"}):
        Path(home, "in").mkdir()
        Path(home, "in", "a.parquet").write_bytes(parquet_bytes(texts(9)))
        os.chdir(home)
        try:
            yield Path(home)
        finally:
            os.chdir(before)


@FUZZ
@given(JOBS)
@example(GOOD)
@example(GOOD | {"where": "id > " + "(" * 5000})
@example(GOOD | {"column": {"text": "\udcff"}})
@example(GOOD | {"limit": 10**5000 if hasattr(sys, "nothing") else 2**20000})
@example(GOOD | {"memory": "9" * 400 + "GB"})
@example(GOOD | {"tolerance": 2**20000})
def test_any_settings_are_planned_or_refused(job: Any) -> None:
    with at_home() as home:
        try:
            text = yaml.safe_dump(job, allow_unicode=False)
        except (yaml.YAMLError, ValueError):
            return
        (home / "job.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        assert_planned_or_refused(plan("job.yaml"))
        assert not (home / "out").exists()


@FUZZ
@given(st.text() | st.binary())
@example("a: &a [b, *a]\n")
@example("model: [" * 3000)
@example("limit: 2024-99-99")
@example("limit: !!int ''")
@example("limit: " + "1" * 5000)
@example("limit: 0x" + "f" * 5000)
@example("? [a]\n: b")
@example("<<: {model: a}\n")
@example(b"\xff\xfe")
@example("\x00")
@example("model: " + "x" * (2 << 20))
def test_any_text_as_a_job_file_is_planned_or_refused(content: str | bytes) -> None:
    with at_home() as home:
        body = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        (home / "job.yaml").write_bytes(body)
        assert_planned_or_refused(plan("job.yaml"))


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20)


@FUZZ
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.lists(NAMES, max_size=2))
def test_any_names_of_files_and_folders_are_planned_and_said(names: list[str], folders: list[str]) -> None:
    hidden = any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in folders)
    with at_home() as home:
        (home / "in" / "a.parquet").unlink()
        place = home.joinpath("in", *[part if part not in (".", "..") else "dots" for part in folders])
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            (place / f"{name}.parquet").write_bytes(parquet_bytes(texts(2)))
        end = plan("--model", WORD_COUNT, "--input", "in/", "--output", "out/")
        assert_planned_or_refused(end)
        seen = [name for name in names if not name.startswith((".", "_"))]
        if end.code == 0:
            assert f"in/: {counted(len(seen), 'file')}, {2 * len(seen)} rows" in end.out
        else:
            assert hidden or not seen or any(part in (".", "..") for part in folders), end.err


SIMPLE = st.sampled_from(
    [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(),
     pa.large_binary(), pa.binary(3), pa.bool_(), pa.null(), pa.date32(), pa.date64(), pa.time32("s"), pa.time64("ns"),
     pa.timestamp("ns"), pa.timestamp("s", "Europe/Paris"), pa.timestamp("us", "+01:00"), pa.duration("ms"),
     pa.decimal128(9, 2), pa.decimal256(50, 7), pa.dictionary(pa.int8(), pa.string()), pa.string_view(),
     pa.dictionary(pa.int32(), pa.int64()), pa.uuid(), pa.json_()]
)  # fmt: skip
FIELD_NAMES = st.sampled_from(["a", "b", "text", "list", "element", "bytes", "", "x.y", "ü"]) | st.text(max_size=5)
TYPES = st.recursive(
    SIMPLE,
    lambda inner: (
        inner.map(pa.list_)
        | inner.map(pa.large_list)
        | inner.map(lambda kind: pa.list_(kind, 2))
        | st.tuples(inner).map(lambda kinds: pa.map_(pa.string(), kinds[0]))
        | st.lists(st.tuples(FIELD_NAMES, inner), min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(pa.struct)
    ),
    max_leaves=6,
)
SCHEMAS = st.lists(st.tuples(FIELD_NAMES, TYPES, st.booleans()), min_size=1, max_size=4)


def empty_file(fields: list[tuple[str, pa.DataType, bool]], rows: int, **options: Any) -> bytes | None:
    """Parquet of so many rows of nulls, or None where pyarrow cannot write such types."""
    try:
        schema = pa.schema([pa.field(name, kind, nullable=rows > 0 or nullable) for name, kind, nullable in fields])
        table = pa.Table.from_arrays([pa.nulls(rows, kind) for kind in schema.types], schema=schema)
        return parquet_bytes(table, **options)
    except (pa.ArrowException, ValueError, UnicodeError):
        return None


@FUZZ
@given(SCHEMAS, st.sampled_from(["text", "a", "b"]), st.integers(0, 2), st.booleans())
def test_any_schema_is_planned_or_refused(
    fields: list[tuple[str, pa.DataType, bool]], encoded: str, rows: int, store_schema: bool
) -> None:
    body = empty_file([("text", pa.string(), True), *fields], rows, store_schema=store_schema)
    if body is None:
        return
    with at_home() as home:
        (home / "in" / "a.parquet").write_bytes(body)
        words = ("--model", WORD_COUNT, "--input", "in/", "--output", "out/", "--column", f"text={encoded}")
        assert_planned_or_refused(plan(*words))


@settings(parent=FUZZ, max_examples=1000 if LONG else 40)
@given(SCHEMAS, st.integers(0, 2))
def test_columns_of_any_types_are_kept_as_they_are(fields: list[tuple[str, pa.DataType, bool]], rows: int) -> None:
    taken = {"text", "label", "score", "scores", "truncated", "error", "_source", "_row"}
    fields = [(f"{place}{name}", *rest) for place, (name, *rest) in enumerate(fields) if name not in taken]  # type: ignore[misc]
    body = empty_file([("text", pa.string(), True), *fields], rows)
    if body is None or not fields:
        return
    with at_home() as home:
        (home / "in" / "a.parquet").write_bytes(body)
        manifest = run_job(GOOD)
        assert manifest["rows"] == rows
        (part,) = (home / "out").glob("part-*.parquet")
        before, after = pq.read_table(io.BytesIO(body)).drop_columns("text"), pq.read_table(part)
        assert [field.type for field in after.select(before.column_names).schema] == before.schema.types
        assert after.select(before.column_names).to_pylist() == before.to_pylist()
