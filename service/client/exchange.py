"""Exchange: from what went over the wire to a result or an error."""

from __future__ import annotations

import email.utils
import json
import math
import ssl
import time
from typing import TypeVar

import httpx

from service.client.calls import Call
from service.client.errors import BUSY, BY_STATUS, AnswerInvalid, Busy, Refused, ServerFailed, Unreachable

Result = TypeVar("Result")

#: The connection was not there yet: nothing of the request can have been read.
BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
#: What is added to the caller's own time before the connection is given up: the server's answer says more.
GRACE_S = 5.0


def read_response(call: Call[Result], status: int, headers: httpx.Headers, body: bytes) -> Result:
    """The result that an answer holds.

    Raises:
        Refused: it says no.
        AnswerInvalid: it is something else.
    """
    where = f"{call.method} {call.path}"
    if not 200 <= status < 300:
        raise read_refusal(where, status, headers, body)
    try:
        return call.read(body.decode())
    except (ValueError, TypeError) as error:  # JSON and Unicode that are none are ValueErrors
        raise AnswerInvalid(where, why=str(error)[:300]) from None


def read_refusal(where: str, status: int, headers: httpx.Headers, body: bytes) -> Refused:
    """The error that an answer is."""
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    message = said.get("error")
    if not isinstance(message, str):
        message = f"{where} was answered without words of Tandem's: {body[:200].decode(errors='replace')!r}"
    found = said.get("detail")
    detail: list[object] = found if isinstance(found, list) else []
    request_id = headers.get("x-request-id", "")
    if status in BUSY:
        after = read_retry_after(headers.get("retry-after", ""))
        return Busy(status, message, retry_after_s=after, request_id=request_id, detail=detail)
    return BY_STATUS.get(status, ServerFailed)(status, message, request_id=request_id, detail=detail)


def read_retry_after(text: str) -> float | None:
    """Retry-After in seconds: a number or a date; None where it says nothing."""
    try:
        found = float(text)
    except ValueError:
        try:
            found = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return max(found, 0.0) if math.isfinite(found) else None


def unreachable(where: str, error: httpx.RequestError) -> Unreachable:
    why = str(error) or type(error).__name__
    return Unreachable(where, why=why[:200], sent=not isinstance(error, BEFORE_SENDING))


def timeout_of(left_s: float | None, setting_s: float) -> httpx.Timeout:
    """How long the next step of one try may take."""
    read_s = setting_s if left_s is None else max(left_s, 0.0) + GRACE_S
    return httpx.Timeout(read_s, connect=min(read_s, 10.0))


def client_settings(base_url: str, api_key: str | None) -> dict[str, object]:
    """What both clients tell httpx.

    Raises:
        ValueError: a key that no header can hold, which is not shown, or an address that is none.
    """
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"base_url={base_url!r}: expected an address such as http://127.0.0.1:3000")
    headers = {"User-Agent": "tandem-client", "Accept": "application/json, text/html;q=0.5, */*;q=0.1"}
    if api_key is not None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("api_key: expected one word of printable ASCII characters, as `tandem key add` shows it")
        headers["Authorization"] = f"Bearer {api_key}"
    return {"base_url": base_url.rstrip("/"), "headers": headers}


def trusted(verify: bool | str | ssl.SSLContext) -> bool | ssl.SSLContext:
    """Whose certificates are taken; a path is the authority's."""
    return ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
