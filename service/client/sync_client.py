"""Client: the endpoint from plain Python."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from service.client import calls
from service.client.answers import Answer, Predictions
from service.client.calls import Call, Priority
from service.client.errors import ClientError, JobStillRuns
from service.client.events import TIMEOUT, Watched
from service.client.exchange import client_settings, read_refusal, read_response, timeout_of, trusted, unreachable
from service.client.jobs import Job
from service.client.models import LaneLoad, ModelCard
from service.client.patience import Attempts, Patience
from service.client.rows import refuse_no_rows
from service.client.windows import IN_FLIGHT, Window

Result = TypeVar("Result")


class Client:
    """Asks one endpoint. Threads may share it; close it, or use it in a `with` block.

    A server that is busy is asked again when it says so, a connection that failed after a pause, as far as `patience`
    goes and doing it twice does no harm. What stays is raised as a ClientError; a row at fault is an Answer with an
    `error`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:3000",
        *,
        api_key: str | None = None,
        verify: bool | str | ssl.SSLContext = True,
        patience: Patience = Patience(),  # noqa: B008 - it is frozen
        timeout_s: float = 120.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connects with the first call.

        Args:
            base_url: such as `https://models.example.com`.
            api_key: as `tandem key add` shows it.
            verify: False: take any certificate; a path: of the authority that signed the server's.
            patience: how long a call is tried.
            timeout_s: how long an answer may take where the call does not say.
            transport: in place of the network.
        """
        self.patience, self.timeout_s = patience, timeout_s
        settings: Any = client_settings(base_url, api_key)
        self._http = httpx.Client(**settings, verify=trusted(verify), transport=transport)

    def predict(
        self, model: str, rows: Iterable[Any], *, timeout_s: float | None = None, priority: Priority | None = None
    ) -> Predictions:
        """Answer rows: bare values (text, bytes of a picture, numbers) or mappings by the model's column.

        Args:
            timeout_s: for all of it, tries included; the server does not begin what would come too late.
            priority: `background` lets interactive requests go first.

        Raises:
            ClientError: the request as a whole is not answered.
        """
        return self._run(calls.predict_call(model, rows, timeout_s=timeout_s, priority=priority))

    def stream(self, model: str, rows: Iterable[Any], *, priority: Priority | None = None) -> Iterator[Answer]:
        """Answer rows without end, in their order, as they come; see `windows` for how many are in hand.

        Raises:
            ClientError: while iterating; the rows before it have been answered.
        """
        refuse_no_rows(rows)
        return self._stream(model, rows, priority)

    def models(self) -> list[ModelCard]:
        """The models that are served."""
        return self._run(calls.models_call())

    def model(self, model: str) -> ModelCard:
        """One model."""
        return self._run(calls.model_call(model))

    def lanes(self) -> list[LaneLoad]:
        """How busy each model is."""
        return self._run(calls.lanes_call())

    def load(self, model: str, *, default: bool = True) -> ModelCard:
        """Serve one more model; returns once it takes requests."""
        return self._run(calls.load_call(model, default=default))

    def unload(self, model: str) -> list[ModelCard]:
        """Serve a model no more; returns those that are left."""
        return self._run(calls.unload_call(model))

    def default(self, model: str) -> ModelCard:
        """Let the bare name mean this version."""
        return self._run(calls.default_call(model))

    def submit(self, spec: Mapping[str, Any], *, key: str | None = None) -> Job:
        """Submit a job, once, however often the request has to be sent.

        Args:
            spec: as a job file has it.
            key: the caller's own name for it; the same key gives the same job back.
        """
        return self._run(calls.submit_call(spec, key=key))

    def jobs(self, *, limit: int | None = None) -> list[Job]:
        """The newest first."""
        return self._run(calls.jobs_call(limit=limit))

    def job(self, job: Job | str) -> Job:
        """One job, as it is now."""
        return self._run(calls.job_call(job))

    def cancel(self, job: Job | str) -> Job:
        """End a job; what it has committed stays."""
        return self._run(calls.cancel_call(job))

    def report(self, job: Job | str) -> str:
        """What a job did, as a page of HTML."""
        return self._run(calls.report_call(job))

    def watch(self, job: Job | str) -> Iterator[Job]:
        """The job now and at each change, until it has ended, whatever becomes of connections."""
        watched, attempts = Watched(job), Attempts(self.patience, repeatable=True)
        while not watched.has_ended:
            try:
                with self._http.stream("GET", watched.path, headers=watched.headers(), timeout=TIMEOUT) as response:
                    if response.status_code == 204:
                        return
                    if response.status_code != 200:
                        raise read_refusal(watched.where, response.status_code, response.headers, response.read())
                    watched.begin()
                    for line in response.iter_lines():
                        if (found := watched.feed(line)) is not None:
                            yield found
                        if found is not None or watched.is_heartbeat(line):
                            attempts.begin_anew()
                if not watched.has_ended:
                    raise watched.cut_short()
            except (httpx.RequestError, ClientError) as raised:
                error = unreachable(watched.where, raised) if isinstance(raised, httpx.RequestError) else raised
                if (pause_s := attempts.pause_s(error)) is None:
                    raise error from None
                time.sleep(pause_s)

    def wait(self, job: Job | str, *, timeout_s: float | None = None) -> Job:
        """The job when it has ended, however it has.

        Raises:
            JobStillRuns: it has not within `timeout_s`.
        """
        if timeout_s is None:
            for found in self.watch(job):
                if found.has_ended:
                    return found
            return self.job(job)
        begun, pause_s = time.monotonic(), 0.1
        while not (found := self.job(job)).has_ended:
            left_s = begun + timeout_s - time.monotonic()
            if left_s <= 0:
                raise JobStillRuns(found.id, status=found.status, after_s=timeout_s)
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, 2.0)
        return found

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Call[Result], stop: threading.Event | None = None) -> Result:
        """Try until there is a result, or an error that stays."""
        ends = None if call.timeout_s is None else time.monotonic() + call.timeout_s
        attempts = Attempts(self.patience, repeatable=call.repeatable, total_s=call.timeout_s)
        while True:
            try:
                return self._try(call, None if ends is None else ends - time.monotonic())
            except ClientError as error:
                pause_s = attempts.pause_s(error)
                if pause_s is None or (stop is not None and stop.is_set()):
                    raise
            if stop is None:
                time.sleep(pause_s)
            else:
                stop.wait(pause_s)

    def _try(self, call: Call[Result], left_s: float | None) -> Result:
        timeout = timeout_of(left_s, self.timeout_s)
        try:
            response = self._http.request(
                call.method, call.path, content=call.content, headers=call.all_headers(left_s), timeout=timeout
            )
        except httpx.RequestError as error:
            raise unreachable(f"{call.method} {call.path}", error) from None
        return read_response(call, response.status_code, response.headers, response.content)

    def _stream(self, model: str, rows: Iterable[Any], priority: Priority | None) -> Iterator[Answer]:
        """Rows are taken from their source in the caller's own thread, and sent from others."""
        in_flight: deque[Future[Predictions]] = deque()
        stop, senders = threading.Event(), ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="tandem-client")
        try:
            for window in fill(rows):
                call = calls.predict_lines(model, window.lines, timeout_s=None, priority=priority)
                in_flight.append(senders.submit(self._run, call, stop))
                while len(in_flight) >= IN_FLIGHT or (window.is_slow and in_flight):
                    yield from in_flight.popleft().result()
            while in_flight:
                yield from in_flight.popleft().result()
        finally:
            stop.set()
            senders.shutdown(wait=False, cancel_futures=True)


def fill(rows: Iterable[Any]) -> Iterator[Window]:
    """Rows as windows, as many as come together."""
    window = Window()
    for row in rows:
        window.add(row)
        if window.is_full:
            yield window
            window = Window()
    if window.lines:
        yield window
