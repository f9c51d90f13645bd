"""A job's share of the machine is bounded where nobody says it."""

from __future__ import annotations

import pytest

from service.jobs import settings
from service.jobs.settings import JobsSettings


def test_jobs_hold_half_of_the_machines_memory_together_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "free_memory", lambda: (1, 24_000_000_000))
    assert JobsSettings.read({}).memory == "12000MB"
    assert JobsSettings.read({"TANDEM_JOBS_AT_ONCE": "4"}).memory == "3000MB"
    assert JobsSettings.read({"TANDEM_JOBS_AT_ONCE": "0"}).memory == "12000MB"
    assert JobsSettings.read({"TANDEM_JOBS_MEMORY": "1.5GB"}).memory == "1.5GB"
    monkeypatch.setattr(settings, "free_memory", lambda: None)
    assert JobsSettings.read({}).memory == ""


def test_a_job_that_gives_way_takes_every_processor_and_one_that_does_not_leaves_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "count_processors", lambda: 8)
    monkeypatch.setattr(settings, "has_quota", lambda: True)
    assert JobsSettings.read({}).threads == 7
    monkeypatch.setattr(settings, "has_quota", lambda: False)
    assert JobsSettings.read({}).threads == 8
    assert JobsSettings.read({"TANDEM_JOBS_PRIORITY": "equal"}).threads == 7
    assert JobsSettings.read({"TANDEM_JOBS_THREADS": "2"}).threads == 2
