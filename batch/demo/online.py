"""The demo's online half: the same rows as single requests, compared with what the job wrote."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from batch.demo.cases import Case, as_json, largest_difference, read_predictions, read_source
from batch.demo.processes import DemoFailed

CLIENTS, ROWS = 32, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How the endpoint's answers stand to the job's, over the same rows.

    Attributes:
        difference: the largest between two scores.
        agreement: share of rows with the same label.
        window: mean rows that concurrent callers had answered together.
        micro_batch: mean rows that went through the model together; the planner measures how many are best.
    """

    rows: int
    difference: float
    agreement: float
    window: float
    micro_batch: float


def compare(case: Case, url: str) -> Comparison:
    """Post rows one by one from many clients, and hold each answer against the job's.

    Raises:
        DemoFailed: a request failed, or the job has no row of that name.
    """
    predicted = {
        (row["_source"], row["_row"]): row for row in read_predictions(case.output).to_pylist() if row["error"] is None
    }
    source = read_source(case)
    chosen = sorted(predicted)[:: max(1, len(predicted) // ROWS)][:ROWS]
    before = lane_sums(url, case.model)
    answers = post_all(url, case, [source[key] for key in chosen])
    spent = lane_sums(url, case.model) - before
    pairs = [(predicted[key], answer) for key, answer in zip(chosen, answers, strict=True)]
    return Comparison(
        rows=len(pairs),
        difference=max(largest_difference(batch, online) for batch, online in pairs),
        agreement=sum(batch["label"] == online["label"] for batch, online in pairs) / len(pairs),
        window=spent["window_rows_sum"] / max(spent["window_rows_count"], 1),
        micro_batch=spent["micro_batch_rows_sum"] / max(spent["micro_batch_rows_count"], 1),
    )


def post_all(url: str, case: Case, values: Sequence[Any]) -> list[dict[str, Any]]:
    """One request a row, from CLIENTS threads that begin together."""
    together = threading.Barrier(CLIENTS)

    def begin() -> None:
        together.wait(30)

    with ThreadPoolExecutor(CLIENTS, initializer=begin, thread_name_prefix="client") as pool:
        return list(pool.map(lambda value: post(url, case, value), values))


def post(url: str, case: Case, value: Any) -> dict[str, Any]:
    body = json.dumps({"model": case.model, "rows": [{case.takes: as_json(value)}]}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        prediction: dict[str, Any] = json.load(response)["predictions"][0]
    if prediction.get("error"):
        raise DemoFailed(f"{case.model} answered a good row with {prediction['error']}")
    return prediction


def lane_sums(url: str, model: str) -> Counter[str]:
    """Rows, windows and micro-batches of a model's lane so far, from /metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    totals: Counter[str] = Counter()
    for line in lines:
        name = line.partition("{")[0].removeprefix("tandem_lane_")
        if name.endswith(("_rows_sum", "_rows_count")) and f'model="{model}' in line:
            totals[name] += int(float(line.rsplit(" ", 1)[1]))
    return totals
