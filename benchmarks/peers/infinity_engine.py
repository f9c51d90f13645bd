"""Infinity's engine in process (infinity-emb): it sorts and batches by itself.

Settings: `model` (folder), `engine` (torch, optimum), `batch_size` (32 is its default).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import read_rows, write_embeddings


def load(settings: Settings) -> Job:
    """Load the model; the engine is started and stopped around each job, since it lives in an event loop."""
    from infinity_emb import AsyncEmbeddingEngine, EngineArgs  # type: ignore[import-not-found,unused-ignore]

    arguments = EngineArgs(
        model_name_or_path=settings["model"],
        engine=settings["engine"],
        device="cpu",
        batch_size=settings["batch_size"],
        model_warmup=False,
        lengths_via_tokenize=True,
        bettertransformer=settings.get("bettertransformer", True),
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


if __name__ == "__main__":
    serve(load, packages=["infinity-emb", "sentence-transformers", "transformers", "torch", "optimum"])
