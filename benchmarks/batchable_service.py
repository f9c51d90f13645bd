"""The same model behind BentoML's own dispatcher."""

from __future__ import annotations

import bentoml

from benchmarks.steady_model import MAX_ROWS, spend


@bentoml.service(name="batchable", workers=1, logging={"access": {"enabled": False}})
class Batchable:
    @bentoml.api(batchable=True, max_batch_size=MAX_ROWS, max_latency_ms=1000)
    def predict(self, rows: list[str]) -> list[str]:
        return spend(rows)
