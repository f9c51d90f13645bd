"""Blame: rows that raise are at fault, unless nothing ever passes the step, not even rows of our own making."""

from __future__ import annotations

import pytest

from models.blame import SUSPICIOUS, Blame, Step
from models.errors import ContractBroken
from models.model import Model, RowFault
from tests.batch.own_models import RaisingAlways, RaisingArithmetic, RaisingDecoderAlways, WordCount

RAISED = [RowFault(kind="KeyError", message="whatever")]
BROKEN: list[tuple[Step, Model]] = [
    ("encode", RaisingAlways()),
    ("forward", RaisingArithmetic()),
    ("decode", RaisingDecoderAlways()),
]


@pytest.mark.parametrize(("step", "model"), BROKEN)
def test_a_step_that_passes_nothing_is_broken_however_few_rows_come_at_once(step: Step, model: Model) -> None:
    blame = Blame()
    for _ in range(SUSPICIOUS - 1):
        blame.judge(model, step, RAISED, has_passed=False)
    with pytest.raises(ContractBroken, match=f"{step} never raises .* first {SUSPICIOUS} rows .*KeyError: whatever"):
        blame.judge(model, step, RAISED, has_passed=False)


@pytest.mark.parametrize(("step", "model"), BROKEN)
def test_once_a_row_has_passed_a_step_rows_are_at_fault(step: Step, model: Model) -> None:
    blame = Blame()
    blame.judge(model, step, RAISED, has_passed=True)
    blame.judge(model, step, RAISED * 1000, has_passed=False)


def test_another_steps_row_is_no_witness() -> None:
    blame = Blame()
    blame.judge(RaisingArithmetic(), "encode", [], has_passed=True)
    with pytest.raises(ContractBroken):
        blame.judge(RaisingArithmetic(), "forward", RAISED * SUSPICIOUS, has_passed=False)


def test_where_a_row_of_our_own_making_passes_the_jobs_rows_are_at_fault() -> None:
    for step, _ in BROKEN:
        Blame().judge(WordCount(), step, RAISED * 1000, has_passed=False)


def test_rows_that_are_too_large_say_nothing_of_the_model() -> None:
    large = [RowFault(kind="OutOfMemory", message="")] * 1000
    Blame().judge(RaisingArithmetic(), "forward", large, has_passed=False)
