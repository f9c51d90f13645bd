"""A collector gets one span for the run and one for each shard; where it does not, the job is none the worse."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from batch.errors import SchemaMismatch
from batch.observe.fan_out import asks_for_spans
from batch.observe.spans import FLUSH_S
from batch.run import run_job
from tests.batch.command import environment, job, tandem
from tests.batch.places import WORD_COUNT, Folder, put_table, read_json, texts
from tests.collector import Collector, attributes_of


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in ("OTEL_SERVICE_NAME", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)
    found = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    yield found
    found.close()


def settings(place: Folder, **more: Any) -> dict[str, Any]:
    return {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/", **more}


def fill(place: Folder, shards: int = 3) -> None:
    for number in range(shards):
        put_table(place, f"in/p={number}/a.parquet", texts(30 + number))


def test_a_span_for_the_run_and_one_for_each_shard_reach_the_collector(folder: Folder, collector: Collector) -> None:
    fill(folder)
    manifest = run_job(settings(folder))
    (run,) = collector.named("tandem run")
    shards = collector.named("tandem shard")
    assert {span.parent_span_id for span in shards} == {run.span_id}
    assert {span.trace_id for span in shards} == {run.trace_id}
    facts = [attributes_of(span) for span in shards]
    assert {one["tandem.shard"] for one in facts} == {part["shard"] for part in manifest["parts"]}
    assert sum(one["tandem.rows"] for one in facts) == manifest["rows"]
    assert all(one.keys() >= {"tandem.seconds.read", "tandem.seconds.arithmetic", "tandem.padded"} for one in facts)
    assert all(run.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano for span in shards)
    assert max(span.end_time_unix_nano for span in shards) <= run.end_time_unix_nano
    said = attributes_of(run)
    assert (said["tandem.rows"], said["tandem.shards"]) == (manifest["rows"], 3)
    assert (said["tandem.model"], said["tandem.variant"]) == (manifest["model"]["tag"], manifest["model"]["variant"])
    assert collector.resources[0]["service.name"] == "tandem"


def test_workers_shards_reach_it_and_variables_mean_what_they_do_elsewhere(
    folder: Folder, collector: Collector
) -> None:
    fill(folder)
    outer = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    end = tandem(
        *job(folder, "--workers", "2", "--log", "json"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20kept-secret",
        OTEL_SERVICE_NAME="nightly",
        TRACEPARENT=outer,
    )
    assert end.code == 0, end.err
    (run,) = collector.named("tandem run")
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == tuple(outer.split("-")[1:3])
    assert len(collector.named("tandem shard")) == 3
    assert collector.resources[0]["service.name"] == "nightly"
    assert collector.headers[0]["authorization"] == "Bearer kept-secret"
    assert "kept-secret" not in end.out + end.err


def test_a_failed_run_says_so_in_its_span(folder: Folder, collector: Collector) -> None:
    fill(folder)
    with pytest.raises(SchemaMismatch):
        run_job(settings(folder, column={"text": "nothing"}))
    (run,) = collector.named("tandem run")
    said = attributes_of(run)
    assert (said["error.type"], said["tandem.exit_code"]) == ("SchemaMismatch", 2)
    assert run.status.code == run.status.STATUS_CODE_ERROR
    assert "lacks nothing" in run.status.message


def test_a_collector_that_is_gone_costs_the_job_a_few_seconds_at_most(folder: Folder, collector: Collector) -> None:
    fill(folder)
    collector.close()
    before = time.monotonic()
    end = tandem(*job(folder), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, within_s=60)
    assert end.code == 0, end.err
    assert "Traceback" not in end.err
    assert read_json(folder, "out/_tandem/manifest.json")["rows"] == 93
    assert time.monotonic() - before < FLUSH_S + 30


def test_nothing_of_it_is_imported_where_nobody_asks(folder: Folder) -> None:
    fill(folder)
    code = (
        "import sys\n"
        "from batch.run import run_job\n"
        f"run_job({settings(folder)!r})\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus'))])\n"
    )
    bare = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": None, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": None})
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare, timeout=60)
    assert found.stdout.strip() == "[]", found.stderr


@pytest.mark.parametrize(
    ("hidden", "protocol", "says"),
    [
        ("opentelemetry.exporter", "http/protobuf", "pip install 'tandem-inference[otel]'"),
        (None, "grpc", "the protocol asked for is grpc, and http/protobuf is what is spoken"),
    ],
)
def test_where_none_can_be_sent_it_says_so_and_the_job_goes_on(
    hidden: str | None,
    protocol: str,
    says: str,
    folder: Folder,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill(folder)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    if hidden:
        for name in [name for name in sys.modules if name.startswith(hidden)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, hidden, None)
    assert run_job(settings(folder))["rows"] == 93
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert says in line
    assert not collector.spans


def test_the_variables_that_switch_it_off_do() -> None:
    asked = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}
    assert asks_for_spans(asked)
    assert not asks_for_spans({})
    assert not asks_for_spans(asked | {"OTEL_SDK_DISABLED": "true"})
    assert not asks_for_spans(asked | {"OTEL_TRACES_EXPORTER": "none"})
