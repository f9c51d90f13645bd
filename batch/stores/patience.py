"""Patience: how long a store that does not answer is asked again, before a job ends with exit code 75."""

import itertools
import random
import time
from collections.abc import Iterator

#: A request is tried again for so long. A store that is started again or throttles is back by then, as a rule.
PATIENCE_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


class Patience:
    """A bound in time, not in tries: what fails at once is tried often, what hangs seldom, and both end alike.

    All threads that ask a store share one. Once the store has answered nobody for `seconds`, every further request has
    one try only: a step that makes several, and the shard that is run a second time, do not wait as long for each.

    Args:
        seconds: how long a request is tried again.
        attempts: the most tries of one request; None sets no such bound.
    """

    def __init__(self, *, seconds: float = PATIENCE_S, attempts: int | None = None) -> None:
        self._seconds = seconds
        self._attempts = attempts
        self._failing_since: float | None = None

    def answered(self) -> None:
        """The store answers: whatever failed before is past."""
        self._failing_since = None

    def tries(self) -> Iterator[int]:
        """Count the tries of one request, as long as another one is worth it; to ask for the next says that one failed.

        Sleeps before each but the first: full jitter, from 0.1 s doubled up to 5 s.
        """
        began = time.monotonic()
        for number in itertools.count():
            if number:
                failing_since = self._failing_since or began
                self._failing_since = failing_since
                if number == self._attempts or time.monotonic() - min(began, failing_since) >= self._seconds:
                    return
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(number, 10))))
            yield number
