"""Blame: whether rows that raise are at fault, or the model that raises for whatever it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from models.decode_isolated import decode_isolated
from models.encode_isolated import encode_isolated
from models.errors import ContractBroken, ModelError, is_interrupt
from models.model import Model, RowFault
from models.samples import default_samples
from models.window import run_window

Step = Literal["encode", "forward", "decode"]

#: So many rows have to raise in a step, before any has passed it, for the model to be suspected.
SUSPICIOUS = 16
#: Faults of rows that are too large for this machine, whatever the model.
TOO_LARGE = ("OutOfMemory", "MemoryError")


@dataclass(slots=True)
class Blame:
    """What is known of a model in this process: the steps that rows have passed, and how many raised in the others.

    A row that raises alone is at fault, and costs itself only. It is the model only where all of this holds: SUSPICIOUS
    rows have raised in one step, no row has passed it in this process, and rows of our own making, those that
    `tandem model check` tries, do not pass either. Then the job ends rather than answering each row with an error.
    """

    passed: set[Step] = field(default_factory=set)
    raised: Counter[Step] = field(default_factory=Counter)

    def judge(self, model: Model, step: Step, raised: Sequence[RowFault], *, has_passed: bool) -> None:
        """A window has gone through a step.

        Args:
            model: whose step.
            step: which.
            raised: the faults of the rows that raised in it.
            has_passed: whether any other row passed.

        Raises:
            ContractBroken: it is the model.
        """
        if has_passed:
            self.passed.add(step)
        suspicious = [fault for fault in raised if fault.kind not in TOO_LARGE]
        if not suspicious or step in self.passed:
            return
        self.raised[step] += len(suspicious)
        if self.raised[step] < SUSPICIOUS:
            return
        if passes_sample(model, step):
            self.passed.add(step)
            return
        raise ContractBroken(
            model.tag,
            promise=f"{step} never raises for a row that is well, and none of the first {self.raised[step]} rows "
            "passed it, nor a sample of ours (if it is the rows, leave them out with --where)",
            found=f"{raised[0].kind}: {raised[0].message}",
        )


def blame_of(model: Model) -> Blame:
    """Of a model in this process; made when first asked for, as its costs are."""
    blame = model.__dict__.setdefault("_blame", Blame())
    assert isinstance(blame, Blame)
    return blame


def passes_sample(model: Model, step: Step) -> bool:
    """Whether a row of our own making passes a step."""
    try:
        encoded = encode_isolated(model, pa.array(default_samples(model)))
        if step == "encode":
            return len(encoded.piece_rows) > 0
        named = decode_isolated(model, run_window(model, encoded).outputs, encoded)
        return bool(named.column("error").null_count)
    except ModelError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        return False
