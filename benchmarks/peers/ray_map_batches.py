"""Ray Data: `map_batches` with sentence-transformers in actors, as its documentation's batch inference page shows.

Settings: `model` (folder), `batch_size` (of map_batches), `encode_batch` (of encode), `actors`, `threads` (of each
actor), `column`. Starting Ray is said as `load_s`; its actors start and load the model within the job.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from benchmarks.peers.protocol import Job, Settings, peak_mb, serve


class Embed:
    """One actor: a model and its threads."""

    def __init__(self, model: str, column: str, threads: int, batch_size: int) -> None:
        import torch
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]

        torch.set_num_threads(threads)
        self.model, self.column, self.batch_size = SentenceTransformer(model, device="cpu"), column, batch_size

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        texts = batch[self.column].tolist()
        vectors = self.model.encode(
            texts, batch_size=self.batch_size, show_progress_bar=False, normalize_embeddings=True
        )
        return {"id": batch["id"], "embedding": vectors}


def load(settings: Settings) -> Job:
    """Start Ray; the job shuts it down again, so that each job begins as the first did."""
    import ray  # type: ignore[import-not-found,unused-ignore]

    if ray.is_initialized():
        ray.shutdown()
    ray.init(
        num_cpus=len(os.sched_getaffinity(0)),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=500_000_000,
        _node_ip_address="127.0.0.1",
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False

    def job(source: str, target: str) -> Mapping[str, Any]:
        try:
            started = time.perf_counter()
            rows = ray.data.read_parquet(source, columns=["id", settings["column"]])
            rows.map_batches(
                Embed,
                fn_constructor_args=(
                    settings["model"],
                    settings["column"],
                    settings["threads"],
                    settings["encode_batch"],
                ),
                batch_size=settings["batch_size"],
                num_cpus=1 / settings["actors"],  # leaves a CPU to the tasks that read and write, else nothing moves
                compute=ray.data.ActorPoolStrategy(size=settings["actors"]),
            ).write_parquet(target)
            seconds = time.perf_counter() - started
            written = pq.read_table(target, columns=["id"]).num_rows
            return {"rows": written, "seconds": seconds, "peak_mb": peak_mb()}  # while its processes still live
        finally:
            ray.shutdown()

    return job


if __name__ == "__main__":
    serve(load, packages=["ray", "sentence-transformers", "transformers", "torch", "pyarrow"])
