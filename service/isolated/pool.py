"""Pool: the processes for models, and which of them have none."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from service.isolated.errors import NoSlot, SlotNotBack
from service.isolated.slot import Slot

#: How often processes that do not answer are asked again.
AGAIN_S = 0.1


class Pool:
    """Slots that are free. Safe among threads; a taken slot belongs to its taker.

    With a spare one, a model whose process ended goes on in that at once, and the process that takes the dead one's
    place is the next spare.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._free = list(slots)
        self._many, self._taken = len(slots), 0
        self._lock = threading.Lock()
        for slot in slots:
            hello = slot.hello()
            if hello is not None and hello.busy:  # over a window of a gateway that ended before this one
                slot.kill()

    def take(self, tag: str, *, within_s: float) -> Slot:
        """A slot whose process answers.

        Args:
            tag: whose it will be.
            within_s: until one answers; a process takes seconds to start.

        Raises:
            NoSlot: every slot has a model.
            SlotNotBack: none answered in time.
        """
        with self._lock:
            if self._taken == self._many:
                raise NoSlot(tag, slots=self._many)
            self._taken += 1
        try:
            return self._wait(tag, within_s)
        except SlotNotBack:
            self.release()
            raise

    def exchange(self, gone: Slot | None, tag: str, *, within_s: float) -> Slot:
        """Another slot for a taker whose process has ended. His claim to one stays his, however long that takes.

        Args:
            gone: his own, free from now on; None where he has given it back already.

        Raises:
            SlotNotBack: none answered in time; he may ask again, with None.
        """
        if gone is not None:
            with self._lock:
                self._free.append(gone)
        return self._wait(tag, within_s)

    def release(self) -> None:
        """Give up the claim to a slot, having none."""
        with self._lock:
            self._taken -= 1

    def _wait(self, tag: str, within_s: float) -> Slot:
        until = time.monotonic() + within_s
        while True:
            slot = self._next()
            if slot is not None and slot.hello() is not None:
                return slot
            if slot is not None:
                self._put_back(slot)
            if time.monotonic() > until:
                raise SlotNotBack(tag, within_s=within_s)
            time.sleep(AGAIN_S)

    def give(self, slot: Slot) -> None:
        """Take a slot back."""
        self._put_back(slot)
        self.release()

    def _put_back(self, slot: Slot) -> None:
        """Behind the others, for it may be one that does not answer."""
        slot.hang_up()
        with self._lock:
            self._free.append(slot)

    def _next(self) -> Slot | None:
        with self._lock:
            return self._free.pop(0) if self._free else None
