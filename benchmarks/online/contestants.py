"""Who is compared: Tandem, a stock BentoML service, LitServe, Mosec and Infinity's server, over one graph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.online.side import Side, bentoml_script
from benchmarks.sides import graph_of, model_folder
from models.spec import read_spec

#: The goal that everybody is told, as far as there is a way to tell it.
SLO_MS = 500
TANDEM, TANDEM_AUTO, STOCK = "Tandem, ONNX Runtime", "Tandem, runtime auto", "BentoML batchable, batch"


def openai_vector(answer: Any) -> Sequence[float]:
    return answer["data"][0]["embedding"]  # type: ignore[no-any-return]


def tandem(name: str, runtime: str) -> Side:
    """`tandem serve` with the goal as its only setting besides the runtime."""
    flags = ["--host", "127.0.0.1", "--latency-slo", f"{SLO_MS}ms", "--runtime", runtime]
    return Side(
        name=name,
        environment="tandem",
        command=lambda port: ["-m", "batch.cli.main", "serve", "minilm", *flags, "--port", str(port)],
        path="/predict",
        body=lambda text: {"model": "minilm", "rows": [text]},
        vector=lambda answer: answer["predictions"][0]["embedding"],
        variables={name: os.environ[name] for name in ("BENTOML_HOME", "TANDEM_MEASURED") if name in os.environ},
        settings=f"--latency-slo {SLO_MS}ms --runtime {runtime}",
    )


def embedder_variables() -> Mapping[str, str]:
    folder = model_folder("minilm")
    graph, _ = graph_of("minilm", "onnx", "fp32")
    return {
        "BENCH_MODEL": str(folder),
        "BENCH_GRAPH": str(graph),
        "BENCH_MAX_LENGTH": str(read_spec(folder).max_length),
    }


def stock_bentoml(batch: int) -> Side:
    return Side(
        name=f"{STOCK} {batch}",
        environment="tandem",
        command=lambda port: [
            bentoml_script(), "serve", "benchmarks.online.servers.bento_batchable:Batchable", "--host", "127.0.0.1",
            "--port", str(port),
        ],
        path="/embed",
        body=lambda text: {"texts": [text]},
        vector=lambda answer: answer[0],
        variables=embedder_variables() | {"BENTOML_DO_NOT_TRACK": "True", "BENCH_BATCH": str(batch)},
        settings=f"max_batch_size={batch}, max_latency_ms={SLO_MS}",
    )  # fmt: skip


def litserve(batch: int) -> Side:
    return Side(
        name=f"LitServe, batch {batch}",
        environment="serving",
        command=lambda port: ["-m", "benchmarks.online.servers.litserve_server", str(port)],
        path="/predict",
        body=lambda text: {"text": text},
        vector=lambda answer: answer["embedding"],
        variables={**embedder_variables(), "BENCH_BATCH": str(batch)},
        settings=f"max_batch_size={batch}, batch_timeout=5 ms",
    )


def mosec(batch: int) -> Side:
    return Side(
        name=f"Mosec, batch {batch}",
        environment="serving",
        command=lambda port: [
            "-m", "benchmarks.online.servers.mosec_server", "--address", "127.0.0.1", "--port", str(port),
        ],
        path="/inference",
        body=lambda text: {"text": text},
        vector=lambda answer: answer["embedding"],
        variables={**embedder_variables(), "BENCH_BATCH": str(batch)},
        settings=f"max_batch_size={batch}, max_wait_time=5 ms",
    )  # fmt: skip


def infinity() -> Side:
    folder = model_folder("minilm")
    return Side(
        name="Infinity, torch",
        environment="infinity",
        command=lambda port: [
            "-c", "from infinity_emb.cli import cli; cli()", "v2", "--model-id", str(folder), "--engine", "torch",
            "--device", "cpu", "--no-bettertransformer", "--batch-size", "32", "--port", str(port),
            "--host", "127.0.0.1", "--served-model-name", "minilm", "--no-model-warmup", "--lengths-via-tokenize",
        ],
        path="/embeddings",
        body=lambda text: {"model": "minilm", "input": text},
        vector=openai_vector,
        variables={"HF_HUB_OFFLINE": "1"},
        settings="engine torch, batch-size 32, lengths-via-tokenize",
    )  # fmt: skip


def contestants(*, quick: bool) -> list[Side]:
    """Everybody; each peer with the batch sizes among which its best is looked for."""
    ours = [tandem(TANDEM, "onnx"), tandem(TANDEM_AUTO, "auto")]
    if quick:
        return [*ours[:1], stock_bentoml(32)]
    # Beside the documented sizes smaller ones: with texts of all lengths on one core a batch is mostly padding.
    return [*ours, stock_bentoml(32), stock_bentoml(4), mosec(8), mosec(1), litserve(1), infinity()]
