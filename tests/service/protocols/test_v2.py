"""The unmodified tritonclient against a real server; what it gets is what POST /predict answers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from numpy.typing import NDArray
from PIL import Image
from tritonclient.utils import InferenceServerException

from service.protocols.v2.infer import priority_of, timeout_s_of
from service.protocols.v2.schemas import InferRequest
from tests.service.client import ask, predict
from tests.service.server import Server, serving

TEXTS = ["The striker scored twice.", "The chancellor raised interest rates.", "Ärzte & naïve café ☕"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"TANDEM_MODELS": "bbc-bert,fashion-resnet,vowels-bilstm,tests.service.models:NaNModel"}
    with serving(tmp_path_factory.mktemp("v2") / "home", settings) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as made:
        yield made


def text_input(texts: list[str], *, shape: list[int] | None = None, binary: bool = True) -> Any:
    array = np.array([text.encode() for text in texts], dtype=object).reshape(shape or [len(texts)])
    tensor = triton.InferInput("text", list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def numbers_input(name: str, array: NDArray[Any], datatype: str, *, binary: bool = True) -> Any:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def expected(server: Server, model: str, rows: list[Any]) -> list[Any]:
    return predict(server.port, model, rows).predictions


def assert_same(result: Any, answers: list[Any]) -> None:
    """The tensors are the predictions of POST /predict."""
    assert list(map(text, result.as_numpy("label"))) == [answer["label"] for answer in answers]
    np.testing.assert_allclose(result.as_numpy("score"), [answer["score"] for answer in answers], atol=1e-4)
    assert result.as_numpy("truncated").tolist() == [answer["truncated"] for answer in answers]
    assert list(map(text, result.as_numpy("error"))) == [""] * len(answers)


def text(cell: Any) -> str:
    """The client makes bytes of bytes, and text of JSON."""
    return cell.decode() if isinstance(cell, bytes) else str(cell)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("shape", [None, [3, 1]])
def test_texts_are_answered_as_predict_answers_them(
    server: Server, client: Any, binary_in: bool, binary_out: bool, shape: list[int] | None
) -> None:
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("label", "score", "scores", "truncated", "error")
    ]
    tensor = text_input(TEXTS, shape=shape, binary=binary_in)
    result = client.infer("bbc-bert", [tensor], outputs=outputs, request_id="a-7")
    answers = expected(server, "bbc-bert", TEXTS)
    assert_same(result, answers)
    labels = json.loads(client.get_model_config("bbc-bert")["parameters"]["labels"]["string_value"])
    np.testing.assert_allclose(
        result.as_numpy("scores"), [[answer["scores"][label] for label in labels] for answer in answers], atol=1e-4
    )
    response = result.get_response()
    card = server.get("/models/bbc-bert").content
    assert response["id"] == "a-7"
    assert f"{response['model_name']}:{response['model_version']}" == card["model"]
    assert response["parameters"] == {"digest": card["digest"], "variant": card["variant"]}


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_bodies_are_packed_both_ways_where_the_client_asks_for_it(server: Server, client: Any, packed: str) -> None:
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS]
    result = client.infer(
        "bbc-bert",
        [text_input(texts)],
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    assert_same(result, expected(server, "bbc-bert", texts))
    body, size = client.generate_request_body([text_input(texts)])
    reply = ask(
        server.port, "POST", "/v2/models/bbc-bert/infer", body,
        [f"Inference-Header-Content-Length: {size}", f"Accept-Encoding: {packed}"],
    )  # fmt: skip
    assert reply.headers["content-encoding"] == packed


def test_the_asyncio_client_gets_the_same(server: Server) -> None:
    async def check() -> Any:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert await client.is_server_ready()
            assert await client.is_model_ready("bbc-bert")
            metadata = await client.get_model_metadata("bbc-bert")
            version = metadata["versions"][0]
            return await client.infer("bbc-bert", [text_input(TEXTS)], model_version=version)

    assert_same(asyncio.run(check()), expected(server, "bbc-bert", TEXTS))


def png(seed: int) -> tuple[bytes, NDArray[np.uint8]]:
    pixels = np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue(), pixels


def test_images_come_as_files_or_as_numbers(server: Server, client: Any) -> None:
    files, pixels = zip(*(png(seed) for seed in range(3)), strict=True)
    column = client.get_model_metadata("fashion-resnet")["inputs"][0]
    assert (column["datatype"], column["shape"]) == ("BYTES", [-1])
    answers = expected(server, "fashion-resnet", [base64.b64encode(file).decode() for file in files])
    encoded = triton.InferInput(column["name"], [3], "BYTES")
    encoded.set_data_from_numpy(np.array(files, dtype=object))
    in_json = triton.InferInput(column["name"], [3], "BYTES")
    in_json.set_data_from_numpy(np.array([base64.b64encode(file) for file in files], dtype=object), binary_data=False)
    whole = numbers_input(column["name"], np.stack(pixels), "UINT8")
    shares = numbers_input(column["name"], (np.stack(pixels) / 255).astype(np.float32)[..., None], "FP32")
    for tensor in (encoded, in_json, whole, shares):
        assert_same(client.infer("fashion-resnet", [tensor]), answers)


def test_sequences_come_as_numbers_of_any_datatype(server: Server, client: Any) -> None:
    column = client.get_model_metadata("vowels-bilstm")["inputs"][0]
    assert (column["datatype"], column["shape"]) == ("FP32", [-1, -1, -1])
    steps = np.random.default_rng(5).integers(-2, 3, (4, 9, 12))
    answers = expected(server, "vowels-bilstm", steps.tolist())
    for datatype, dtype in (("FP32", np.float32), ("INT64", np.int64), ("FP64", np.float64), ("INT8", np.int8)):
        for binary in (True, False):
            tensor = numbers_input(column["name"], steps.astype(dtype), datatype, binary=binary)
            assert_same(client.infer("vowels-bilstm", [tensor]), answers)
    nested = {"inputs": [{"name": column["name"], "shape": [4, 9, 12], "datatype": "FP32", "data": steps.tolist()}]}
    reply = ask(server.port, "POST", "/v2/models/vowels-bilstm/infer", json.dumps(nested).encode())
    assert reply.status == 200, reply.body
    (labels,) = (output["data"] for output in reply.content["outputs"] if output["name"] == "label")
    assert labels == [answer["label"] for answer in answers]


def test_many_rows_are_answered_as_few_are(server: Server, client: Any) -> None:
    """A body from 256 KiB on is read beside other requests."""
    steps = np.repeat(np.random.default_rng(6).standard_normal((4, 9, 12)).astype(np.float32), 250, axis=0)
    column = client.get_model_metadata("vowels-bilstm")["inputs"][0]["name"]
    answers = expected(server, "vowels-bilstm", steps[::250].tolist())
    for binary in (True, False):
        tensor = numbers_input(column, steps, "FP32", binary=binary)
        result = client.infer("vowels-bilstm", [tensor], response_compression_algorithm="gzip")
        assert_same(result, [answer for answer in answers for _ in range(250)])


def test_a_row_at_fault_is_nan_with_its_reason_and_the_others_are_answered(server: Server, client: Any) -> None:
    result = client.infer("nan", [text_input(["ape", "nan", "zebra"])])
    assert [text.decode().partition(":")[0] for text in result.as_numpy("error")] == ["", "NonFiniteOutput", ""]
    assert result.as_numpy("label").tolist() == [b"early", b"", b"late"]
    assert np.isnan(result.as_numpy("score")).tolist() == [False, True, False]
    assert np.isnan(result.as_numpy("scores")).all(axis=1).tolist() == [False, True, False]
    body = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["ape", None]}]}
    reply = ask(server.port, "POST", "/v2/models/nan/infer", json.dumps(body).encode())
    outputs = {output["name"]: output["data"] for output in reply.content["outputs"]}
    assert outputs["error"][1].startswith("NullValue: ")
    assert outputs["scores"][2:] == [None, None]
    not_text = triton.InferInput("text", [2], "BYTES")
    not_text.set_data_from_numpy(np.array([b"\xff\xfe", b"ape"], dtype=object))
    assert client.infer("nan", [not_text]).as_numpy("error")[0].startswith(b"WrongType: expected text in UTF-8")


@pytest.mark.parametrize("shape", [[1_000_000_000, 0, 1], [5000, 0, 1, 1]])
def test_a_shape_of_too_many_rows_is_refused_by_its_number_before_they_are_made(
    server: Server, shape: list[int]
) -> None:
    # Of four dimensions: 400 where rows are made before they are counted.
    body = {"inputs": [{"name": "sequence", "shape": shape, "datatype": "FP32", "data": []}]}
    reply = ask(server.port, "POST", "/v2/models/vowels-bilstm/infer", json.dumps(body).encode())
    assert reply.status == 413
    assert f"{shape[0]} rows" in reply.content["error"]


def test_no_rows_are_no_answers(client: Any) -> None:
    result = client.infer("bbc-bert", [text_input([])])
    assert result.as_numpy("label").shape == (0,)


def test_health_metadata_and_configuration_are_true(server: Server, client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("bbc-bert")
    assert not client.is_model_ready("no-such-model")
    assert not client.is_model_ready("bbc-bert", "0000")
    assert client.get_server_metadata()["name"] == "tandem"
    metadata = client.get_model_metadata("bbc-bert")
    assert f"bbc-bert:{metadata['versions'][0]}" == server.get("/models/bbc-bert").content["model"]
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    config = client.get_model_config("bbc-bert", metadata["versions"][0])
    assert config["max_batch_size"] == 0
    result = client.infer("bbc-bert", [text_input(TEXTS)])
    for tensor, configured in zip(metadata["outputs"], config["output"], strict=True):
        array = result.as_numpy(tensor["name"])
        found = result.get_output(tensor["name"])
        assert (found["datatype"], configured["dims"]) == (tensor["datatype"], tensor["shape"])
        assert [-1, *array.shape[1:]] == tensor["shape"]


def test_statistics_count_the_rows_that_were_answered(client: Any) -> None:
    (before,) = client.get_inference_statistics("nan")["model_stats"]
    client.infer("nan", [text_input(["one", "two", "three"])])
    (after,) = client.get_inference_statistics("nan", before["version"])["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] >= 1
    assert {"bbc-bert", "nan"} <= {model["name"] for model in client.get_inference_statistics()["model_stats"]}


def test_models_are_listed_loaded_and_unloaded_as_tritons_are(server: Server, client: Any) -> None:
    index = {(model["name"], model["state"]) for model in client.get_model_repository_index()}
    assert {("bbc-bert", "READY"), ("nan", "READY"), ("language-bigru", "UNAVAILABLE")} <= index
    client.load_model("language-bigru")
    assert client.is_model_ready("language-bigru")
    assert client.infer("language-bigru", [text_input(["guten Tag zusammen"])]).as_numpy("error").tolist() == [b""]
    client.load_model("language-bigru")
    client.unload_model("language-bigru")
    assert not client.is_model_ready("language-bigru")
    for change, said in (
        (lambda: client.load_model("no-such-model"), "has no 'no-such-model'"),
        (lambda: client.load_model("bbc-bert", config="{}"), "parameters.config"),
        (lambda: client.load_model("tests.service.models:LetterModel"), "no tag of the model store"),
        (lambda: client.unload_model("no-such-model"), "not served here"),
    ):
        with pytest.raises(InferenceServerException, match=said):
            change()


def bytes_of(*elements: bytes) -> bytes:
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def tensor_json(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["ape"]} | changes
    return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]}


BINARY = {"data": None, "parameters": {"binary_data_size": 7}}


@pytest.mark.parametrize(
    ("body", "behind", "length", "said"),
    [
        (b"no json", b"", None, "no JSON"),
        ({"inputs": []}, b"", None, "inputs"),
        (tensor_json(datatype="TEXT"), b"", None, "datatype"),
        (tensor_json(name="words"), b"", None, "takes 'text'"),
        (tensor_json(shape=[2]), b"", None, "says 2 elements, its data holds 1"),
        (tensor_json(shape=[-1]), b"", None, "shape"),
        (tensor_json(shape=[1 << 31] * 8), b"", None, "elements"),
        (tensor_json(shape=[1, 1, 1]), b"", None, "expected shape"),
        (tensor_json(data=None), b"", None, "neither data nor binary_data_size"),
        (tensor_json(data=["ape", ["zebra"]], shape=[2]), b"", None, "lists beside elements"),
        (tensor_json(datatype="FP32", data=[1.5]), b"", None, "are BYTES"),
        (tensor_json(datatype="INT64", data=["one"]), b"", None, "is no INT64"),
        (tensor_json(datatype="UINT8", data=[300]), b"", None, "beyond what UINT8 holds"),
        (tensor_json() | {"outputs": [{"name": "logits"}]}, b"", None, "no such output"),
        (tensor_json() | {"parameters": {"sequence_id": 7}}, b"", None, "sequence_id"),
        (tensor_json() | {"parameters": {"timeout": 0}}, b"", None, "parameters.timeout"),
        (tensor_json() | {"parameters": {"timeout": 10**320}}, b"", None, "parameters.timeout"),
        (tensor_json(**BINARY), bytes_of(b"ape"), "99999", "says 99999 bytes of JSON"),
        (tensor_json(**BINARY), bytes_of(b"ape"), "-1", "expected a number of bytes"),
        (tensor_json(**BINARY), bytes_of(b"ape"), "5", "no JSON"),
        (tensor_json(**BINARY), bytes_of(b"ap"), True, "6 are left"),
        (tensor_json(**BINARY), bytes_of(b"ape") + b"x", True, "belong to no input"),
        (tensor_json(**BINARY), b"\xff\xff\xff\xffape", True, "says 4294967295 bytes"),
        (tensor_json(**BINARY, shape=[2]), bytes_of(b"ape"), True, "says 2 elements, its bytes hold 1"),
        (tensor_json(**BINARY, datatype="FP32"), bytes_of(b"ape"), True, "takes 4 bytes"),
        (tensor_json(parameters={"binary_data_size": 7}), bytes_of(b"ape"), True, "both data and binary_data_size"),
        (tensor_json(data=None, parameters={"shared_memory_region": "r"}), b"", None, "shared memory"),
    ],
)
def test_a_request_that_does_not_fit_is_400_in_one_line(
    server: Server, body: Any, behind: bytes, length: str | bool | None, said: str
) -> None:
    head = body if isinstance(body, bytes) else json.dumps(body).encode()
    value = len(head) if length is True else length
    headers = [f"Inference-Header-Content-Length: {value}"] if length is not None else []
    reply = ask(server.port, "POST", "/v2/models/nan/infer", head + behind, headers)
    assert (reply.status, said in reply.content["error"]) == (400, True), reply.body
    assert "\n" not in reply.content["error"]


@pytest.mark.parametrize(
    ("parameters", "priority", "timeout_s"),
    [
        ({}, None, None),
        ({"priority": 0}, "interactive", None),
        ({"priority": 1, "timeout": 1500000}, "interactive", 1.5),
        ({"priority": 2, "timeout": 250}, "background", 0.00025),
    ],
)
def test_priority_and_timeout_are_tritons(parameters: dict[str, int], priority: str, timeout_s: float) -> None:
    asked = InferRequest.model_validate(tensor_json() | {"parameters": parameters})
    assert (priority_of(asked), timeout_s_of(asked)) == (priority, timeout_s)


def test_the_clients_timeout_and_priority_are_taken(server: Server, client: Any) -> None:
    result = client.infer("bbc-bert", [text_input(TEXTS)], timeout=20_000_000, priority=7, parameters={"tenant": "a"})
    assert_same(result, expected(server, "bbc-bert", TEXTS))
