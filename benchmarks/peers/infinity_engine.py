"""Infinity's engine in process (infinity-emb): it sorts and batches by itself.

Settings: `model` (folder), `engine` (torch, optimum), `batch_size` (32 is its default), `scratch` (folder); for optimum
`graph`, an ONNX file with token embeddings, as sentence-transformers' exporter writes it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import read_rows, write_embeddings

#: What the tokens are made by and how many there may be.
KEPT = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def load(settings: Settings) -> Job:
    """Load the model; the engine is started and stopped around each job, since it lives in an event loop."""
    from infinity_emb import AsyncEmbeddingEngine, EngineArgs  # type: ignore[import-not-found,unused-ignore]

    arguments = EngineArgs(
        model_name_or_path=settings["folder"],
        engine=settings["engine"],
        device="cpu",
        batch_size=settings["batch_size"],
        model_warmup=False,
        lengths_via_tokenize=True,
        bettertransformer=settings.get("bettertransformer", True),
        pooling_method="mean",  # by default optimum takes the first token's vector
    )
    engine = AsyncEmbeddingEngine.from_args(arguments)

    async def embed(texts: list[str]) -> Any:
        async with engine:
            vectors, _ = await engine.embed(sentences=texts)
        return vectors

    def job(source: str, target: str) -> Mapping[str, Any]:
        import numpy as np

        ids, texts = read_rows(source, "text")
        return write_embeddings(target, ids, np.stack(asyncio.run(embed(texts))))

    return job


def choose(settings: Settings) -> Settings:
    """Work in a scratch folder, where it keeps what it makes; for optimum that is also the model's folder.

    For it a model that lies in any folder but `.` is not found (0.0.78 with optimum 2.1). It cuts texts off at the
    positions that the model has, so that its copy is told of those that everybody takes.
    """
    scratch = Path(settings["scratch"]) / f"infinity-{settings['engine']}"
    scratch.mkdir(exist_ok=True)
    os.environ["HF_HOME"] = str(scratch / "cache")
    os.chdir(scratch)
    if settings["engine"] != "optimum":
        return {**settings, "folder": settings["model"]}
    for name in KEPT:
        shutil.copyfile(Path(settings["model"]) / name, name)
    config = json.loads(Path("config.json").read_text())
    limit = json.loads((Path(settings["model"]) / "sentence_bert_config.json").read_text())["max_seq_length"]
    Path("config.json").write_text(json.dumps({**config, "max_position_embeddings": limit}))
    shutil.copyfile(settings["graph"], "model.onnx")
    return {**settings, "folder": "."}


if __name__ == "__main__":
    serve(load, packages=["infinity-emb", "sentence-transformers", "transformers", "torch", "optimum"], choose=choose)
