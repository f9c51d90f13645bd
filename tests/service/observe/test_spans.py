"""A collector gets a span for each request, in its caller's trace, and below it what its lane did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.observe.spans import asks_for_spans, open_tracing
from tests.collector import Collector, attributes_of
from tests.service.client import ask, predict, predict_body
from tests.service.server import Server, serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
OUTER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Server]:
    settings = {
        "TANDEM_MODELS": "tests.service.models:LetterModel,tests.service.models:DroppingModel",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with serving(tmp_path_factory.mktemp("spans") / "home", settings) as running:
        yield running


def spans_of(collector: Collector, request_id: str, *, least: int) -> tuple[Any, list[Any]]:
    """The span of a request, and the others of its trace, once there are so many."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        roots = [one for one in collector.spans if attributes_of(one).get("tandem.request_id") == request_id]
        if roots:
            others = [one for one in collector.spans if one.trace_id == roots[0].trace_id and one is not roots[0]]
            if len(others) >= least:
                return roots[0], others
        time.sleep(0.05)
    raise AssertionError(f"no {least} spans of {request_id}: {[one.name for one in collector.spans]}")


def by_name(spans: list[Any]) -> dict[str, Any]:
    return {span.name: span for span in spans}


def test_a_request_is_seen_from_http_through_queue_encode_and_arithmetic_in_its_callers_trace(
    server: Server, collector: Collector
) -> None:
    headers = ["X-Request-Id: traced", f"traceparent: {OUTER}"]
    assert ask(server.port, "POST", "/predict", predict_body("letters", ["ape", "zebra"]), headers).status == 200
    root, others = spans_of(collector, "traced", least=5)
    assert (root.name, root.trace_id.hex(), root.parent_span_id.hex()) == ("POST /predict", TRACE, OUTER.split("-")[2])
    assert attributes_of(root).items() >= {
        "http.route": "/predict", "http.response.status_code": 200, "tandem.rows": 2, "tandem.model": "letters:1",
    }.items()  # fmt: skip
    found = by_name(others)
    assert found.keys() == {"lane.queue", "lane.window", "encode", "forward", "decode"}
    window = found["lane.window"]
    assert found["lane.queue"].parent_span_id == window.parent_span_id == root.span_id
    assert {found[step].parent_span_id for step in ("encode", "forward", "decode")} == {window.span_id}
    assert [link.span_id for link in window.links] == [root.span_id]
    facts = attributes_of(window)
    assert facts.items() >= {"tandem.window.rows": 2, "tandem.window.requests": 1, "tandem.error_rows": 0}.items()
    assert facts["tandem.micro_batches"] >= 1
    assert facts["tandem.padded"] >= facts["tandem.real"] > 0
    ordered = [found[name] for name in ("lane.queue", "encode", "forward", "decode")]
    ends = [span.end_time_unix_nano for span in ordered]
    assert ends == sorted(ends)
    assert root.start_time_unix_nano <= ordered[0].start_time_unix_nano
    assert collector.resources[0]["service.name"] == "tandem"


def test_a_failed_window_is_marked_in_its_request_and_below_it(server: Server, collector: Collector) -> None:
    body = predict_body("dropping", ["drop"])
    assert ask(server.port, "POST", "/predict", body, ["X-Request-Id: broken"]).status == 500
    root, others = spans_of(collector, "broken", least=2)
    found = by_name(others)
    assert root.status.code == root.status.STATUS_CODE_ERROR
    assert found["lane.window"].status.code == root.status.STATUS_CODE_ERROR
    assert "forward" not in found


def test_a_caller_who_is_not_sampled_has_no_spans_and_his_answer(server: Server, collector: Collector) -> None:
    headers = ["X-Request-Id: unsampled", f"traceparent: {OUTER[:-2]}00"]
    assert ask(server.port, "POST", "/predict", predict_body("letters", ["ape"]), headers).status == 200
    assert ask(server.port, "GET", "/models", headers=["X-Request-Id: after"]).status == 200
    spans_of(collector, "after", least=0)
    assert not [one for one in collector.spans if attributes_of(one).get("tandem.request_id") == "unsampled"]


def test_a_collector_that_is_gone_costs_no_request(server: Server, collector: Collector) -> None:
    collector.close()
    assert predict(server.port, "letters", ["ape"]).status == 200


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda patch: patch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "the protocol asked for is grpc"),
        (lambda patch: patch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None), "pip install"),
    ],
)
def test_where_none_can_be_sent_it_says_so_and_the_server_starts(
    change: Callable[[pytest.MonkeyPatch], None],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import os

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    change(monkeypatch)
    assert open_tracing(os.environ) is None
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert says in line


def test_the_variables_that_switch_it_off_do() -> None:
    asked = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}
    assert asks_for_spans(asked)
    assert open_tracing({}) is None
    assert not asks_for_spans(asked | {"OTEL_SDK_DISABLED": "true"})
    assert not asks_for_spans(asked | {"OTEL_TRACES_EXPORTER": "none"})
