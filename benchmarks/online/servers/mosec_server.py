"""Mosec with dynamic batching: one worker, `max_batch_size` and `max_wait_time` as its guide sets them."""

from __future__ import annotations

import os
from typing import Any

from mosec import Server, Worker  # type: ignore[import-not-found,unused-ignore]

from benchmarks.online.servers.embed import Embedder


class Embed(Worker):  # type: ignore[misc,unused-ignore]
    def __init__(self) -> None:
        self.embedder = Embedder()

    def forward(self, data: Any) -> Any:
        if isinstance(data, dict):  # with a max_batch_size of 1 it gives no list
            return {"embedding": self.embedder.embed([data["text"]])[0].tolist()}
        return [{"embedding": vector.tolist()} for vector in self.embedder.embed([item["text"] for item in data])]


if __name__ == "__main__":
    server = Server()
    batch, wait_ms = int(os.environ.get("BENCH_BATCH", "32")), int(os.environ.get("BENCH_WAIT_MS", "5"))
    server.append_worker(Embed, num=1, max_batch_size=batch, max_wait_time=wait_ms)
    server.run()
