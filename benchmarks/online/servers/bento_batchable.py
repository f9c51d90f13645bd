"""A stock BentoML service with `batchable=True`: one process, the documented settings for a latency goal.

Environment: `BENCH_BATCH`, its max_batch_size; and what embed.py takes.
"""

from __future__ import annotations

import os

import bentoml

from benchmarks.online.servers.embed import Embedder


@bentoml.service(
    name="batchable",
    workers=1,
    logging={"access": {"enabled": False}},
    envs=[{"name": "OMP_NUM_THREADS", "value": "1"}],
)
class Batchable:
    def __init__(self) -> None:
        self.embedder = Embedder()

    @bentoml.api(batchable=True, max_batch_size=int(os.environ["BENCH_BATCH"]), max_latency_ms=500)
    def embed(self, texts: list[str]) -> list[list[float]]:
        return self.embedder.embed(texts).tolist()  # type: ignore[no-any-return]
