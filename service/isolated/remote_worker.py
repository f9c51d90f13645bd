"""RemoteWorker: a lane's model in a process of its own, which may end, hang, and is replaced."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from models.costs import Costs
from models.errors import ModelError, PredictionMismatch
from models.load import Described
from models.model import RowFault
from models.spec import ModelSpec
from models.window import WindowStats
from service.errors import LaneClosed, ModelDown
from service.isolated.convicted import Convicted
from service.isolated.errors import ModelRaised, SlotEnded, SlotHung, SlotNotBack
from service.isolated.messages import Ask, Known, Leave, Load, Loaded, NotHere, Question, Raised, Reply, Said
from service.isolated.pool import Pool
from service.isolated.slot import Slot
from service.lanes.worker import Answered, StepFailed
from service.schemas import Answer, ModelCard, error_answer
from service.settings import Settings

log = logging.getLogger("bentoml.tandem")

#: For a process to come up, and for a model to be loaded.
COME_UP_S, LOAD_S = 60.0, 600.0
#: Without a process for so long the model counts as one that cannot answer: its callers are told, and it is tried on.
COME_BACK_S = 60.0
AGAIN_S = 1.0
#: A window may take so many times the longest of so many before it.
TIMES_LONGEST, RECENT = 10, 200
#: Times that a process ends, or hangs, over a row until the row is at fault: once it may be somebody else's doing.
TWICE = 2
LEAVE_S = 5.0
NOBODYS = RowFault(kind="CallerGone", message="the process ended over its window, and nobody waits for it any more")


class RemoteWorker:
    """A Worker whose model is elsewhere.

    Where the process ends over a window, another one takes its place and the rows are tried one after the other: so a
    row stands alone that ends it again. A row over which it ended twice alone is answered with an error, WorkerDied,
    which names the signal. A window that is not answered in time is taken for one that hangs: its process is killed,
    and the row over which that happens again is answered with RowHung. Such rows are remembered and not tried again.
    All others of the window are answered as ever, and those whose callers have gone are not tried again,
    unless they were spared so before. Each such event is one line of the log. Where no process comes back, or none
    loads the model any more, callers are told so at once until one does.

    Args:
        described: the model.
        settings: how it runs, and the patience.
        pool: where processes are had.

    Raises:
        ModelError: it cannot run here.
        NoSlot, SlotNotBack: there is no process for it.
    """

    def __init__(self, described: Described, settings: Settings, pool: Pool) -> None:
        self._load = Load(described=dataclasses.replace(described, own=None), settings=settings)
        self._patience_s = float(settings.isolated.patience_s)
        self._pool, self._convicted = pool, Convicted()
        self._asking, self._closing = threading.Lock(), threading.Event()
        self._swapping, self._let_go_of = threading.Lock(), False
        self._costs, self._took_s = Costs(), deque([0.0], maxlen=RECENT)
        # None while none is owned: what was given back may be another model's by now.
        self._slot: Slot | None = pool.take(described.tag, within_s=COME_UP_S)
        try:
            self._loaded = self._load_first()
        except BaseException:
            self._give_back()
            raise
        self.alive = True

    @property
    def spec(self) -> ModelSpec:
        return self._load.described.spec

    @property
    def tag(self) -> str:
        return self._load.described.tag

    @property
    def digest(self) -> str:
        return self._load.described.digest

    @property
    def variant(self) -> str:
        return self._loaded.variant

    @property
    def max_rows(self) -> int:
        return self._loaded.max_rows

    @property
    def samples(self) -> Sequence[Any]:
        return self._loaded.samples

    @property
    def costs(self) -> Costs:
        return self._costs

    @property
    def slot(self) -> Slot:
        """Where the model is now."""
        return self._owned

    def card(self) -> ModelCard:
        return self._card

    def answer(self, values: list[Any], is_wanted: Callable[[int], bool] = lambda row: True) -> Answered:
        """As Worker.answer says; a process that ends is replaced.

        Raises:
            ModelRaised: the model's own code raised, and no row could be singled out.
            LaneClosed: the worker was closed meanwhile.
            ModelDown: no process that has the model can be had.
        """
        if not self.alive:
            raise ModelDown(self.tag)
        known = [self._convicted.find(value) for value in values]
        rest = [row for row, answer in enumerate(known) if answer is None]
        try:
            with self._asking:
                parts = self._try([(row, values[row]) for row in rest], is_wanted) if rest else []
        finally:
            if self._closing.is_set():
                self._let_go()
        answered = join(parts)
        return answered if len(rest) == len(values) else with_errors(answered, known)

    def close(self) -> None:
        """Let go of the model. One that hangs is killed."""
        self._closing.set()
        if not self._let_go():
            with self._swapping:
                if self._slot is not None:
                    self._slot.end()  # whoever asks it is told so, finds that nobody waits, and lets go

    def _let_go(self) -> bool:
        """Give the process back without the model, unless it is being asked: whoever asks it does so afterwards."""
        if not self._asking.acquire(blocking=False):
            return False
        try:
            if self._let_go_of:
                return True
            self._let_go_of = True
            if self._slot is not None:
                try:
                    self._slot.ask(Leave(), patience_s=LEAVE_S)
                except SlotEnded:
                    log.info("process did not let go of its model: %s", self.tag)
            self._give_back()
            return True
        finally:
            self._asking.release()  # a window that comes all the same is told that the worker is closed

    @property
    def _owned(self) -> Slot:
        assert self._slot is not None, "asked without a process"
        return self._slot

    def _give_back(self) -> None:
        """Give up the slot, or the claim to one."""
        if (slot := self._take_out()) is None:
            self._pool.release()
        else:
            self._pool.give(slot)

    def _exchange(self, *, within_s: float) -> None:
        """Have another slot for the one whose process has ended; for none, where an earlier try was in vain."""
        self._slot = self._pool.exchange(self._take_out(), self.tag, within_s=within_s)

    def _take_out(self) -> Slot | None:
        """The slot, which is not this worker's from here on."""
        with self._swapping:  # whoever closes never ends what is another model's by now
            slot, self._slot = self._slot, None
        return slot

    def _try(self, rows: Sequence[tuple[int, Any]], is_wanted: Callable[[int], bool]) -> list[Answered]:
        """A window, as a whole and then, where that ends the process, row by row."""
        try:
            return [self._ask([value for _, value in rows])]
        except SlotEnded as ended:
            self._replace(ended, rows=len(rows))
            hung = int(isinstance(ended, SlotHung))
            died = int(not hung and len(rows) == 1)
        return [
            one_error(error_answer(NOBODYS))
            if not is_wanted(row) and self._convicted.spare(value)
            else self._try_alone(value, died, hung)
            for row, value in rows
        ]

    def _try_alone(self, value: Any, died: int, hung: int) -> Answered:
        """One row; `died` and `hung` times that a process did so over it already."""
        while True:
            try:
                return self._ask([value])
            except SlotEnded as ended:
                self._replace(ended, rows=1)
                if isinstance(ended, SlotHung):
                    hung += 1
                else:
                    died += 1
                if TWICE in (died, hung):
                    return one_error(self._convicted.add(value, fault_of(ended)))

    def _ask(self, values: Sequence[Any]) -> Answered:
        """Some rows of the process that there is.

        Raises:
            SlotEnded: it ended, or was killed after the patience.
            ModelRaised: the model's own code raised.
            LaneClosed: the worker was closed: the process may be another model's by now.
        """
        if self._closing.is_set():
            raise LaneClosed(self.tag)
        patience_s = max(self._patience_s, TIMES_LONGEST * max(self._took_s))
        question, begun = Ask(tag=self.tag, values=list(values)), time.monotonic()
        while isinstance(reply := self._say(question, patience_s), NotHere):  # no row's doing: it was not asked
            self._replace(SlotEnded(self._loaded.pid, how="was started anew"), rows=len(values))
            begun = time.monotonic()
        assert isinstance(reply, Reply)
        if len(reply.answered.answers) != len(values):  # before its answers are joined with others'
            raise PredictionMismatch(self.tag, given=len(values), got=len(reply.answered.answers))
        seconds = time.monotonic() - begun  # without what a process that ended took: no row to come takes that
        self._took_s.append(seconds)
        if reply.known is not None:
            self._learn(reply.known)
        return dataclasses.replace(reply.answered, seconds=seconds)

    def _say(self, question: Question, patience_s: float) -> Said:
        said = self._owned.ask(question, patience_s=patience_s)
        if isinstance(said, Raised):
            error = ModelError(said.message) if said.is_model_error else ModelRaised.of(said.kind, said.message)
            raise StepFailed(step=said.step, cause=error) if said.step else error
        return said

    def _load_first(self) -> Loaded:
        """Load the model; a process that ends meanwhile is replaced once.

        Raises:
            ModelError: it cannot be loaded.
        """
        try:
            return self._load_into()
        except SlotEnded:
            self._exchange(within_s=COME_UP_S)
        try:
            return self._load_into()
        except SlotEnded as ended:
            raise ModelError(f"{self.tag}: the process that loaded it {ended.how}, twice.") from None

    def _load_into(self) -> Loaded:
        loaded = self._say(self._load, LOAD_S)
        assert isinstance(loaded, Loaded)
        self._learn(loaded.known)
        log.info("model in a process of its own: %s in %d (%s)", self.tag, loaded.pid, self._owned.name)
        return loaded

    def _learn(self, known: Known) -> None:
        self._costs.take_over(Costs.from_json(known.costs))
        self._card = known.card

    def _replace(self, ended: SlotEnded, *, rows: int) -> None:
        """Have another process take the model; for COME_BACK_S, if that takes as long.

        Raises:
            LaneClosed: nobody waits any more.
            ModelDown: none came up, or the model is not to be loaded again; that is tried on.
        """
        if not self._closing.is_set():
            log.warning("%s: %s over %d rows; another takes the model", self.tag, ended, rows)
        until = time.monotonic() + COME_BACK_S
        while not self._closing.is_set():
            try:
                if self._comes_back():
                    return
                why = f"no process came up within {COME_BACK_S:g} s"
            except (ModelError, ModelRaised) as error:
                why, until = str(error), 0.0
            if time.monotonic() > until:
                log.error("model not loaded again, and tried on: %s: %s", self.tag, why)
                self.alive = False
                threading.Thread(target=self._try_on, name=f"back-{self.tag}", daemon=True).start()
                raise ModelDown(self.tag)
        raise LaneClosed(self.tag)

    def _comes_back(self) -> bool:
        """Whether another process has the model now.

        Raises:
            ModelError, ModelRaised: it cannot be loaded any more.
        """
        try:
            self._exchange(within_s=AGAIN_S)
            self._loaded = self._load_into()
        except (SlotNotBack, SlotEnded):
            return False
        return True

    def _try_on(self) -> None:
        """Until another process has the model. Meanwhile nobody else asks: all are told that it is down."""
        with self._asking:
            while not self._closing.is_set() and not self.alive:
                try:
                    self.alive = self._comes_back()
                except (ModelError, ModelRaised):  # said once
                    self._closing.wait(AGAIN_S)
        if self._closing.is_set():
            self._let_go()


def fault_of(ended: SlotEnded) -> RowFault:
    """What a row is told over which processes ended."""
    if isinstance(ended, SlotHung):
        message = f"the model did not return from this row within {ended.patience_s:.0f} s; its process was killed"
        return RowFault(kind="RowHung", message=message, attempts=TWICE)
    message = f"the model's process {ended.how} over this row alone"
    return RowFault(kind="WorkerDied", message=message, attempts=TWICE)


def one_error(answer: Answer) -> Answered:
    return Answered(
        answers=[answer],
        lengths=[0],
        micro_batch_rows=[],
        stats=WindowStats(),
        encode_s=0.0,
        compute_s=0.0,
        seconds=0.0,
    )


def join(parts: Sequence[Answered]) -> Answered:
    """Parts of a window, in order, as one."""
    stats = WindowStats()
    for part in parts:
        stats.add(part.stats)
    return Answered(
        answers=[answer for part in parts for answer in part.answers],
        lengths=[length for part in parts for length in part.lengths],
        micro_batch_rows=[rows for part in parts for rows in part.micro_batch_rows],
        stats=stats,
        encode_s=sum(part.encode_s for part in parts),
        compute_s=sum(part.compute_s for part in parts),
        seconds=sum(part.seconds for part in parts),
    )


def with_errors(answered: Answered, known: Sequence[Answer | None]) -> Answered:
    """The same with rows in their places that were answered without the model."""
    answers, lengths = iter(answered.answers), iter(answered.lengths)
    return dataclasses.replace(
        answered,
        answers=[next(answers) if answer is None else answer for answer in known],
        lengths=[next(lengths) if answer is None else 0 for answer in known],
    )
