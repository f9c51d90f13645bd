"""LitServe with batching: `max_batch_size` and `batch_timeout` as its guide sets them, one worker."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve  # type: ignore[import-not-found,unused-ignore]

from benchmarks.online.servers.embed import Embedder


class EmbedAPI(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    def setup(self, device: Any) -> None:
        self.embedder = Embedder()

    def decode_request(self, request):  # type: ignore[no-untyped-def] # it reads annotations as a form
        return str(request["text"])

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, texts: list[str] | str) -> Any:
        if isinstance(texts, str):  # with a max_batch_size of 1 it leaves batch and unbatch out
            return self.embedder.embed([texts])[0]
        return self.embedder.embed(texts)

    def unbatch(self, output: Any) -> Any:
        return list(output)

    def encode_response(self, output: Any) -> Any:
        return {"embedding": output.tolist()}


if __name__ == "__main__":
    batch, timeout_s = int(os.environ.get("BENCH_BATCH", "32")), float(os.environ.get("BENCH_WAIT_S", "0.005"))
    api = EmbedAPI(max_batch_size=batch, batch_timeout=timeout_s)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60).run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="error", generate_client_file=False
    )
