"""The unmodified openai client against a real server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from models.load import load_model
from models.locate import zoo_folders
from service.protocols.count_tokens import count_tokens
from tests.service.client import ask, predict
from tests.service.server import Server, serving

MODELS = "tests.service.models:EmbeddingModel,tests.service.models:LetterModel"
TEXTS = ["abba", "cab", "dada dada"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("openai") / "home", {"TANDEM_MODELS": MODELS}) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="any", max_retries=0) as made:
        yield made


def expected(server: Server, texts: list[str]) -> list[list[float]]:
    return [answer["embedding"] for answer in predict(server.port, "counts", texts).predictions]


def test_texts_are_embedded_as_predict_embeds_them(server: Server, client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="counts", input=TEXTS)
    assert (found.object, found.model) == ("list", "counts:1")
    assert [one.index for one in found.data] == [0, 1, 2]
    np.testing.assert_array_equal(
        np.asarray([one.embedding for one in found.data], np.float32), np.asarray(expected(server, TEXTS), np.float32)
    )
    alone = client.embeddings.create(model="counts:1", input=TEXTS[1], user="somebody")
    assert alone.data[0].embedding == found.data[1].embedding


def test_numbers_and_base64_are_the_same_vector(client: openai.OpenAI) -> None:
    numbers = client.embeddings.create(model="counts", input=TEXTS, encoding_format="float", dimensions=4)
    packed = client.embeddings.create(model="counts", input=TEXTS, encoding_format="base64")
    for number, pack in zip(numbers.data, packed.data, strict=True):
        unpacked = np.frombuffer(base64.b64decode(str(pack.embedding)), "<f4")
        np.testing.assert_array_equal(np.asarray(number.embedding, np.float32), unpacked)


def test_the_asyncio_client_gets_the_same_however_many_ask_at_once(server: Server) -> None:
    texts = [f"{'abcd'[i % 4] * (i % 9 + 1)}" for i in range(40)]

    async def check() -> list[list[float]]:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            found = await asyncio.gather(*(client.embeddings.create(model="counts", input=text) for text in texts))
            return [one.data[0].embedding for one in found]

    np.testing.assert_allclose(asyncio.run(check()), expected(server, texts), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "raised", "param", "said"),
    [
        ({"input": []}, openai.BadRequestError, "input", "an empty list"),
        ({"input": [""]}, openai.BadRequestError, "input", "an empty string"),
        ({"input": ["a", None]}, openai.BadRequestError, "input", "input.list"),
        ({"input": ["a", 7]}, openai.BadRequestError, "input", "input.list"),
        ({"input": [1, 2, 3]}, openai.BadRequestError, "input", "another model's vocabulary"),
        ({"input": [[1, 2], [3]]}, openai.BadRequestError, "input", "another model's vocabulary"),
        ({"input": ["ab", "poison"]}, openai.UnprocessableEntityError, "input", "counts:1: input[1]: FloatingPoint"),
        ({"input": "a", "dimensions": 3}, openai.BadRequestError, "dimensions", "counts:1 has 4"),
        ({"input": "a", "encoding_format": "hex"}, openai.BadRequestError, "encoding_format", "float"),
        ({"input": "a", "extra_body": {"prompt": "b"}}, openai.BadRequestError, "prompt", "prompt"),
        ({"input": "a", "model": "letters"}, openai.BadRequestError, "model", "that embed texts here: counts:1"),
        ({"input": "a", "model": "gone"}, openai.NotFoundError, None, "not served here"),
    ],
)
def test_what_is_not_answered_raises_the_clients_own_errors(
    client: openai.OpenAI, arguments: dict[str, Any], raised: type[openai.APIStatusError], param: str, said: str
) -> None:
    with pytest.raises(raised) as error:
        client.embeddings.create(**({"model": "counts"} | arguments))
    assert (error.value.param, said in error.value.message) == (param, True), error.value.message
    assert error.value.type == "invalid_request_error"


def test_too_many_texts_are_refused_by_their_number_before_one_of_them_is_looked_at(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="found 2000 rows") as refused:
        client.embeddings.create(model="counts", input=[""] * 2000)
    assert refused.value.status_code == 413


def test_bodies_that_are_none_and_methods_that_are_not_answered_are_told_in_this_protocols_words(
    server: Server,
) -> None:
    for method, path, body, status in (
        ("POST", "/v1/embeddings", b"{", 400),
        ("POST", "/v1/embeddings", b"[]", 400),
        ("POST", "/v1/embeddings", b'{"model": "counts", "input": "\\ud800"}', 400),
        ("GET", "/v1/embeddings", b"", 405),
    ):
        reply = ask(server.port, method, path, body)
        assert (reply.status, set(reply.content["error"])) == (status, {"message", "type", "param", "code"})


def test_models_are_listed_by_name_and_by_version(client: openai.OpenAI) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed] == ["counts", "counts:1", "letters", "letters:1"]
    assert all(model.created > 1_700_000_000 and model.owned_by == "tandem" for model in listed)
    assert client.models.retrieve("counts:1").id == "counts:1"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gone")
    assert error.value.code == "model_not_found"


def test_tokens_are_counted_as_the_model_reads_them() -> None:
    (folder,) = [folder for folder in zoo_folders() if folder.name == "bbc-bert"]
    model = load_model("bbc-bert")
    texts = ["A sentence.", "naïve ☕", "word " * 1000]
    read = model.encode(texts).lengths
    assert read.max() == model.spec.max_length
    assert count_tokens(folder, model.spec.max_length, texts) == read.sum()
    assert count_tokens(None, None, texts) == 0
