"""Events: a job as the server's events tell of it, over as many connections as it takes."""

from __future__ import annotations

import json

import httpx

from service.client.calls import job_path
from service.client.errors import AnswerInvalid, Unreachable
from service.client.jobs import Job, read_job

#: The server says something every 15 s; who is silent for longer than this has gone.
SILENT_S = 45.0
TIMEOUT = httpx.Timeout(SILENT_S, connect=10.0)


class Watched:
    """A job that is being watched: put in lines, get out its changes.

    Attributes:
        last_id: of the last event; with it the server goes on after a lost connection.
        has_ended: whether nothing more will come.
    """

    def __init__(self, job: Job | str) -> None:
        self.path = f"{job_path(job)}/events"
        self.last_id: str | None = None
        self.has_ended = False
        self._data: list[str] = []
        self._id: str | None = None

    @property
    def where(self) -> str:
        return f"GET {self.path}"

    def headers(self) -> dict[str, str]:
        last = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        return {"Accept": "text/event-stream", **last}

    def begin(self) -> None:
        """Another connection: half an event of the one before is none."""
        self._data, self._id = [], None

    def feed(self, line: str) -> Job | None:
        """The job, where this line ends an event that is news.

        Raises:
            AnswerInvalid: an event without a job.
        """
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "id":
                self._id = value
            return None
        data, self._data = "\n".join(self._data), []
        if not data or (self._id is not None and self._id == self.last_id):
            return None
        self.last_id = self._id
        try:
            found = read_job(json.loads(data))
        except (ValueError, TypeError) as error:
            raise AnswerInvalid(self.where, why=str(error)[:300]) from None
        self.has_ended = found.has_ended
        return found

    def is_heartbeat(self, line: str) -> bool:
        """Whether the server says that nothing has happened."""
        return line.startswith(":")

    def cut_short(self) -> Unreachable:
        """The error that an end of the events before the end of the job is."""
        return Unreachable(self.where, why="the events ended before the job", sent=True)
