"""What the server says under /metrics of jobs and of the models' comings and goings."""

from __future__ import annotations

from typing import Literal

from service.observe.numbers import Family, Numbers

FAMILIES = (
    Family(name="tandem_jobs", kind="counter", help="Jobs, by what became of them", labels=("status",)),
    Family(name="tandem_jobs_running", kind="gauge", help="Jobs that run now"),
    Family(name="tandem_jobs_queued", kind="gauge", help="Jobs that wait for their turn"),
    Family(name="tandem_model_loads", kind="counter", help="Models loaded, by how it ended", labels=("outcome",)),
    Family(name="tandem_model_load_seconds", kind="counter", help="Seconds spent on loading models"),
)


class EventMetrics:
    """Counts what happens rarely: jobs and model loads."""

    def __init__(self) -> None:
        self.numbers = Numbers(FAMILIES)
        for status in ("submitted", "done", "failed", "cancelled"):
            self.numbers.start("tandem_jobs", status)
        for outcome in ("loaded", "failed"):
            self.numbers.start("tandem_model_loads", outcome)

    def job(self, status: Literal["submitted", "done", "failed", "cancelled"]) -> None:
        """A job was submitted, or ended as such."""
        self.numbers.add("tandem_jobs", 1, status)

    def jobs_now(self, *, running: int, queued: int) -> None:
        """How many jobs there are now, after any change."""
        self.numbers.set("tandem_jobs_running", running)
        self.numbers.set("tandem_jobs_queued", queued)

    def model_loaded(self, seconds: float) -> None:
        self.numbers.add("tandem_model_loads", 1, "loaded")
        self.numbers.add("tandem_model_load_seconds", seconds)

    def model_failed(self, seconds: float) -> None:
        self.numbers.add("tandem_model_loads", 1, "failed")
        self.numbers.add("tandem_model_load_seconds", seconds)
