"""What the client raises.

ClientError
├── RowsInvalid         (nothing is sent) rows that are no rows, such as one text; a TypeError, too
├── Unreachable         no answer: the connection failed, or was lost before the answer
├── AnswerInvalid       an answer that is not of this protocol; is it another server?
├── JobStillRuns        `wait` waited as long as it was told to; a TimeoutError, too
└── Refused             an answer that says no: `status`, `message`
    ├── RequestRefused  400, 406, 413, 415, 422    the request is at fault; the same one is refused again
    ├── KeyRefused      401, 403                   no key, or one that may not do this
    ├── NotFound        404                        no such model or job, or none that the key may know of
    ├── Conflict        409                        it is otherwise by now
    ├── DeadlinePassed  408, 504                   it took longer than it may
    ├── Busy            429, 503                   later; `retry_after_s`
    └── ServerFailed    500 and the rest
A row that could not be answered raises nothing: its Answer has an `error`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ClientError(Exception):
    """Whatever this client raises."""


class RowsInvalid(ClientError, TypeError):
    """Rows that are no list of rows."""

    def __init__(self, found: str, *, advice: str) -> None:
        super().__init__(f"rows: found {found}; expected a list of rows. {advice}")
        self.found = found


class Unreachable(ClientError):
    """No answer came.

    Attributes:
        sent: whether the server may have read the request, and done what it asks for.
    """

    def __init__(self, where: str, *, why: str, sent: bool) -> None:
        super().__init__(f"{where}: no answer ({why}){'; what was asked for may have been done' if sent else ''}.")
        self.where, self.why, self.sent = where, why, sent


class AnswerInvalid(ClientError):
    """An answer that cannot be read."""

    def __init__(self, where: str, *, why: str) -> None:
        super().__init__(f"{where}: the answer is not what a Tandem endpoint says: {why}.")
        self.where, self.why = where, why


class JobStillRuns(ClientError, TimeoutError):
    """The job has not ended in the time that was given to it."""

    def __init__(self, job: str, *, status: str, after_s: float) -> None:
        super().__init__(f"job {job} is {status} after {after_s:g} s. It goes on; cancel it, or wait again.")
        self.job, self.status, self.after_s = job, status, after_s


class Refused(ClientError):
    """The server said no.

    Attributes:
        status: of the answer.
        message: the server's words.
        request_id: under which its log knows the request; empty where it said none.
        detail: field by field what is wrong, as far as the server said so.
    """

    def __init__(self, status: int, message: str, *, request_id: str = "", detail: Sequence[Any] = ()) -> None:
        super().__init__(f"{status}: {message}{f' (request {request_id})' if request_id else ''}")
        self.status, self.message, self.request_id, self.detail = status, message, request_id, tuple(detail)


class RequestRefused(Refused):
    """The request is at fault."""


class KeyRefused(Refused):
    """No key, or one that may not do this."""


class NotFound(Refused):
    """No such model or job."""


class Conflict(Refused):
    """It cannot be done any more, or means several things."""


class DeadlinePassed(Refused):
    """The time that was given to it has passed."""


class ServerFailed(Refused):
    """The server broke down over it."""


class Busy(Refused):
    """Too much waits, or the key was used too often.

    Attributes:
        retry_after_s: when to come again; None where the server did not say.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after_s: float | None = None,
        request_id: str = "",
        detail: Sequence[Any] = (),
    ) -> None:
        super().__init__(status, message, request_id=request_id, detail=detail)
        self.retry_after_s = retry_after_s


#: What each status means; others are ServerFailed.
BY_STATUS: dict[int, type[Refused]] = {
    400: RequestRefused, 406: RequestRefused, 413: RequestRefused, 415: RequestRefused, 422: RequestRefused,
    401: KeyRefused, 403: KeyRefused, 404: NotFound, 409: Conflict, 408: DeadlinePassed, 504: DeadlinePassed,
}  # fmt: skip
BUSY = frozenset({429, 503})
