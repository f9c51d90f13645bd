"""A real server: every answer carries its id, every request is counted and logged, and paths make no series."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.service.client import Reply, ask, predict, predict_body
from tests.service.server import ROOT, Server, serving

MODELS = ("LetterModel", "PoisonModel", "DroppingModel")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.jsonl"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Server]:
    settings = {
        "TANDEM_MODELS": ",".join(f"tests.service.models:{name}" for name in MODELS),
        "TANDEM_ACCESS_LOG": str(log),
        "TANDEM_MAX_BODY_MB": "1",
    }
    with serving(tmp_path_factory.mktemp("seeing") / "home", settings) as running:
        yield running


def line_of(log: Path, request_id: str) -> dict[str, Any]:
    """The line of a request; the log's thread may be a fifth of a second behind."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        found = [line for line in map(json.loads, log.read_text().splitlines()) if line["request_id"] == request_id]
        if found:
            (line,) = found
            return dict(line)
        time.sleep(0.05)
    raise AssertionError(f"no line of {request_id}")


def named(server: Server, method: str, path: str, request_id: str, body: bytes = b"") -> Reply:
    return ask(server.port, method, path, body, [f"X-Request-Id: {request_id}"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/predict", predict_body("letters", ["ape"]), 200),
        ("POST", "/predict", b"no json", 400),
        ("POST", "/predict", predict_body("nobody", ["ape"]), 404),
        ("POST", "/predict", predict_body("dropping", ["drop"]), 500),
        ("POST", "/predict", b"[" + b"1," * 600_000, 413),
        ("DELETE", "/predict", b"", 405),
        ("GET", "/nowhere", b"", 404),
        ("GET", "/readyz", b"", 200),
        ("GET", "/docs.json", b"", 200),
    ],
)
def test_every_answer_carries_the_callers_id_whatever_became_of_it(
    server: Server, method: str, path: str, body: bytes, status: int
) -> None:
    reply = named(server, method, path, f"mine-{status}", body)
    assert (reply.status, reply.headers["x-request-id"]) == (status, f"mine-{status}")


def test_an_answer_to_a_caller_who_named_none_carries_an_id_of_its_own(server: Server) -> None:
    ids = {predict(server.port, "letters", ["ape"]).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(one) == 16 for one in ids)


def test_a_failure_is_in_the_servers_log_under_its_id(server: Server) -> None:
    assert named(server, "POST", "/predict", "why-did-it", predict_body("dropping", ["drop"])).status == 500
    said = [line for line in server.log.read_text().splitlines() if "why-did-it" in line]
    assert len(said) == 1
    assert "dropping:1 failed in forward over" in said[0]


def test_the_access_log_has_a_line_for_each_request_with_its_rows_and_model(server: Server, log: Path) -> None:
    body = predict_body("letters", ["ape", "zebra"])
    reply = named(server, "POST", "/predict", "logged", body)
    line = line_of(log, "logged")
    assert line.items() >= {
        "method": "POST", "route": "/predict", "status": 200, "rows": 2, "model": "letters:1",
        "bytes_in": len(body), "bytes_out": len(reply.body), "client": "127.0.0.1",
    }.items()  # fmt: skip
    assert line["duration_ms"] > 0
    named(server, "GET", "/no/such/path", "lost")
    assert line_of(log, "lost").items() >= {"path": "/no/such/path", "status": 404}.items()
    assert "route" not in line_of(log, "lost")


def test_paths_that_callers_make_up_make_no_series(server: Server) -> None:
    before = server.sum_of("tandem_http_requests_total", route="none")
    for i in range(20):
        server.get(f"/made/up/{i}")
        ask(server.port, f"METHOD{i}", "/predict")
    text = server.get("/metrics").body.decode()
    assert "made" not in text
    assert "METHOD" not in text
    assert server.sum_of("tandem_http_requests_total", route="none") == before + 20
    assert server.sum_of("tandem_http_requests_total", route="/predict", method="other", status="405") == 20


def test_requests_rows_and_errors_are_counted_by_lane_and_by_class(server: Server) -> None:
    texts = ["one", "poison", "two", "two"]
    names = ("rows_total", "error_rows_total", "repeated_rows_total", "request_seconds_count", "micro_batch_rows_sum")
    before = {name: server.metric(name, "poison:1") for name in names if name != "error_rows_total"}
    assert predict(server.port, "poison", texts).status == 200
    grown = {name: server.metric(name, "poison:1") - before[name] for name in before}
    assert server.metric("error_rows_total", "poison:1", **{"class": "FloatingPointError"}) == 1
    assert (grown["rows_total"], grown["repeated_rows_total"], grown["request_seconds_count"]) == (4, 1, 1)
    assert grown["micro_batch_rows_sum"] >= 2
    assert server.metric("requests_total", "poison:1", outcome="answered") >= 1


def test_a_window_that_fails_is_counted_as_failed_and_its_lane_is_up(server: Server) -> None:
    before = server.metric("failed_rows_total", "dropping:1")
    assert predict(server.port, "dropping", ["drop", "drop twice"]).status == 500
    assert server.metric("failed_rows_total", "dropping:1") == before + 2
    assert server.metric("requests_total", "dropping:1", outcome="failed") >= 1
    assert server.metric("up", "dropping:1") == 1
    assert server.metric("busy_seconds_total", "dropping:1") > 0


def test_the_process_and_its_version_are_told(server: Server) -> None:
    assert server.sum_of("process_resident_memory_bytes") > 2**20
    assert server.sum_of("process_open_fds") > 3
    assert server.sum_of("tandem_build") == 1


def expressions() -> Iterator[tuple[str, str]]:
    """What the dashboard and the alerts ask Prometheus, by the name of the panel or the alert."""
    dashboard = json.loads((ROOT / "infra/grafana/tandem.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for group in yaml.safe_load((ROOT / "infra/prometheus/rules.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_the_dashboard_and_the_alerts_name_only_metrics_and_labels_of_a_real_server(server: Server) -> None:
    predict(server.port, "poison", ["one", "poison"])
    predict(server.port, "dropping", ["drop"])
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(server.get("/metrics").body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    asked = list(expressions())
    assert len(asked) > 40
    for title, expression in asked:
        names = re.findall(r"\b(?:tandem|process)_\w+", expression)
        assert names, title
        labels = {"instance"}.union(*(found.get(name, set()) for name in names))
        assert set(names) <= found.keys(), title
        grouped = ",".join(re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression))
        matched = re.findall(r"(\w+)\s*[!=]~?\"", expression)
        assert {name.strip() for name in grouped.split(",") if name.strip()} | set(matched) <= labels, title


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads((ROOT / "infra/grafana/tandem.json").read_text())
    assert [one["name"] for one in dashboard["templating"]["list"] if one["type"] == "datasource"] == ["datasource"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
