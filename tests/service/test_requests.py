"""What a server answers to requests that are not as they should be, and the pages that BentoML gives."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.service.client import Connection, Reply, ask, predict
from tests.service.server import Server, serving

LIMIT = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "TANDEM_MODELS": "tests.service.models:LetterModel,fashion-resnet",
        "TANDEM_MAX_BODY_MB": "1",
        "TANDEM_MAX_QUEUE_ROWS": "100",
    }
    with serving(tmp_path_factory.mktemp("requests") / "home", settings) as running:
        yield running


def post(server: Server, body: Any, *headers: str) -> Reply:
    return ask(server.port, "POST", "/predict", body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"rows": []}, ["model"]),
        ({"model": "letters"}, ["rows"]),
        ({"model": "letters", "rows": "abc"}, ["rows"]),
        ({"model": "letters", "rows": {"text": "abc"}}, ["rows"]),
        ({"model": 7, "rows": []}, ["model"]),
        ({"model": "letters", "rows": [], "row": []}, ["row"]),
        ({}, ["model", "rows"]),
    ],
)
def test_a_request_of_the_wrong_shape_is_400_and_names_the_field(server: Server, body: Any, fields: list[str]) -> None:
    reply = post(server, body)
    assert reply.status == 400
    assert [problem["loc"] for problem in reply.content["detail"]] == [[field] for field in fields]


@pytest.mark.parametrize(
    "body", [b"{", b"no json", b"[1, 2]", b'"text"', b"\xff\xfe", b"null", b'{"\\ud800": 1}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_400(server: Server, body: bytes) -> None:
    reply = post(server, body)
    assert reply.status == 400
    assert "error" in reply.content


def test_a_refused_request_is_one_line_in_the_log(server: Server) -> None:
    post(server, {"model": "letters", "rows": "once and never again"})
    log = server.log.read_text()
    line = next(line for line in log.splitlines() if "once and never again" in line)
    assert "refused a request: rows: expected an array, found 'once and never again'" in line
    assert "Traceback" not in log


def test_an_unknown_model_is_404_and_the_known_ones_are_named(server: Server) -> None:
    for name in ("nope", "letters:2", "letters:"):
        reply = predict(server.port, name, ["abc"])
        assert reply.status == 404
        assert reply.content["error"].startswith(
            f"model: {name!r} is not served here; known: letters:1, fashion-resnet:"
        )


def test_a_model_is_known_by_its_name_and_by_its_version(server: Server) -> None:
    for name in ("letters", "letters:1", "letters:latest"):
        assert predict(server.port, name, ["abc"]).content["model"] == "letters:1"


def test_no_rows_are_no_predictions(server: Server) -> None:
    assert predict(server.port, "letters", []).predictions == []


def test_each_row_at_fault_has_its_own_error_and_its_neighbours_their_answers(server: Server) -> None:
    rows = [{"text": "good"}, {"txt": "bad"}, {"text": None}, None, 7, ["text"], True, {}, "good"]
    predictions = predict(server.port, "letters", rows).predictions
    assert [entry.get("error", {}).get("class") for entry in predictions] == [
        None, "MissingColumn", "NullValue", "NullValue", "WrongType", "WrongType", "WrongType", "MissingColumn", None,
    ]  # fmt: skip
    assert predictions[0] == predictions[-1]
    assert set(predictions[0]) == {"label", "score", "scores", "truncated"}


def test_an_image_is_read_out_of_the_request_and_from_nowhere_else(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("L", (28, 28), 200).save(secret)
    encoded = base64.b64encode(secret.read_bytes()).decode()
    places: list[Any] = [str(secret), f"file://{secret}", "s3://bucket/secret.png", "http://127.0.0.1:1/secret.png"]
    places += [{"path": str(secret)}, {"bytes": None, "path": str(secret)}, {"uri": str(secret)}, {"bytes": encoded}]
    places += [[str(secret)], [{"path": str(secret)}], [[{"path": str(secret)}]]]
    rows = [encoded, f"data:image/png;base64,{encoded}", [[200] * 28] * 28, *places]
    predictions = predict(server.port, "fashion-resnet", [{"image": row} for row in rows]).predictions
    assert predictions[0] == predictions[1] == predictions[2]
    assert "label" in predictions[0]
    assert ["error" in entry for entry in predictions[3:]] == [True] * len(places)
    bare = predict(server.port, "fashion-resnet", places).predictions
    assert ["error" in entry for entry in bare] == [True] * len(places)


def test_many_images_are_read_as_few_are(server: Server) -> None:
    """From 256 KiB on they are unpacked beside other requests."""
    image = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(image, "PNG")
    encoded = base64.b64encode(image.getvalue()).decode()
    assert 99 * len(encoded) > 256 * 1024
    one, *many = predict(server.port, "fashion-resnet", [encoded, "no image"]).predictions
    found = predict(server.port, "fashion-resnet", [*[encoded] * 99, "no image"]).predictions
    assert [answer["label"] for answer in found[:-1]] == [one["label"]] * 99
    assert found[-1:] == many


def test_text_of_every_kind_is_answered(server: Server) -> None:
    rows = ["", " ", "größer 東京 🚲", "\u0000", "x" * 100_000]
    assert ["error" in entry for entry in predict(server.port, "letters", rows).predictions] == [False] * 5


def test_more_rows_than_the_queue_holds_are_413_and_the_limit_is_named(server: Server) -> None:
    reply = predict(server.port, "letters", ["abc"] * 101)
    assert reply.status == 413
    assert "rows: found 101 rows, at most 100" in reply.content["error"]


def test_a_body_that_announces_too_much_is_413_before_it_is_read(server: Server) -> None:
    async def check() -> Reply:
        async with Connection(server.port) as connection:
            head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LIMIT + 1}"
            connection.writer.write(f"{head}\r\n\r\n".encode())
            return await asyncio.wait_for(connection.read(), 10)

    reply = asyncio.run(check())
    assert reply.status == 413
    assert "larger than 1 MiB (TANDEM_MAX_BODY_MB" in reply.content["error"]


def test_a_body_that_streams_too_much_is_413(server: Server) -> None:
    async def check() -> Reply:
        async with Connection(server.port) as connection:
            head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
            connection.writer.write(f"{head}\r\n\r\n".encode())
            for _ in range(LIMIT // 65536 + 1):
                connection.writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            return await asyncio.wait_for(connection.read(), 10)

    assert asyncio.run(check()).status == 413


def test_a_body_at_the_limit_is_read(server: Server) -> None:
    body = json.dumps({"model": "letters", "rows": ["abc"]}).encode()
    assert post(server, body + b" " * (LIMIT - len(body))).status == 200


def test_pickle_is_refused(server: Server) -> None:
    assert post(server, b"\x80\x05N.", "Content-Type: application/vnd.bentoml+pickle").status == 415


def test_get_models_lists_what_a_caller_needs_to_know(server: Server) -> None:
    letters, fashion = server.get("/models").content["models"]
    assert letters.pop("speed")["rows_per_s"] > 0
    assert letters == {
        "name": "letters",
        "model": "letters:1",
        "digest": "letters-digest",
        "variant": "python-fp32",
        "family": "transformer",
        "task": "text-classification",
        "input": {"name": "text", "kind": "text"},
        "output": ["label", "score", "scores", "truncated", "error"],
        "labels": ["early", "late"],
        "dimension": None,
        "max_length": None,
        "tolerance": 0.0001,
        "default": True,
        "versions": ["letters:1"],
        "kept": True,
        "accuracy": None,
    }
    assert (fashion["family"], fashion["variant"]) == ("cnn", "onnx-fp32")
    assert fashion["input"] == {"name": "image", "kind": "image"}
    assert ask(server.port, "POST", "/models").status == 405


def test_probes_metrics_and_pages_are_there(server: Server) -> None:
    assert server.get("/livez").status == server.get("/readyz").status == server.get("/healthz").status == 200
    metrics = server.get("/metrics").body.decode()
    for name in (
        "window_rows_bucket", "micro_batch_rows_bucket", "wait_seconds_bucket", "queue_rows", "rows_total",
        "repeated_rows_total",
        "requests_total", "failed_rows_total", "shed_total", "shed_rows_total", "padded_total", "real_total",
    ):  # fmt: skip
        assert f"tandem_lane_{name}{{" in metrics
    assert "bentoml_service" not in metrics
    assert server.get("/schema.json").status == server.get("/static_content/index.css").status == 404
    assert server.get("/").status == 307


def test_the_openapi_page_names_every_route_and_refusal(server: Server) -> None:
    page = server.get("/docs.json").content
    assert {"/predict", "/models", "/livez", "/readyz", "/metrics"} <= set(page["paths"])
    post = page["paths"]["/predict"]["post"]
    assert {"200", "400", "404", "413", "500", "503"} <= {str(status) for status in post["responses"]}
    references = set(find_references(page))
    assert references
    kinds = page["components"]
    assert [one for one in references if one.partition("/")[2] not in kinds[one.partition("/")[0]]] == []


def find_references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix("#/components/")
        for value in node.values():
            yield from find_references(value)
    elif isinstance(node, list):
        for value in node:
            yield from find_references(value)


@pytest.mark.parametrize(
    "path", ["/predict", "/jobs", "/models/load", "/v2/repository/index", "/v2/models/letters/infer"]
)
@pytest.mark.parametrize("body", [b'{"\\ud800": "\\ud800"}', b"[" * 100_000, b'{"model": "\\udfff", "rows": []}'])
def test_no_body_is_a_fault_of_ours(server: Server, path: str, body: bytes) -> None:
    reply = ask(server.port, "POST", path, body)
    assert 400 <= reply.status < 500, reply.body
    assert reply.content["error"]
