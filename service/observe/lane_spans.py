"""What a lane tells of a window: below each request its wait and its window, below the first the window's steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from service.observe.spans import epoch_ns

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from service.lanes.request import Slice
    from service.lanes.worker import Answered
    from service.observe.spans import RequestSpan


def tell_window(tag: str, slices: Sequence[Slice], *, begun: float, ended: float, answered: Answered | None) -> None:
    """Make the spans of a window that has ended; nothing where none of its requests has one.

    Args:
        tag: the model's.
        slices: the rows of the window.
        begun, ended: on the clock of time.monotonic.
        answered: what it took; None where it failed.
    """
    traced = [(part, part.request.span) for part in slices if part.request.span is not None]
    if not traced:
        return
    start, end = epoch_ns(begun), epoch_ns(ended)
    first: Span | None = None
    for part, request in traced:
        if part.start == 0:
            make(request, request.span, "lane.queue", epoch_ns(part.request.arrived), start, {"tandem.model": tag})
        facts = {"tandem.model": tag, "tandem.rows": part.stop - part.start}
        if first is None:
            others = [other.span for _, other in traced]
            first = make(
                request, request.span, "lane.window", start, end, facts | window_facts(slices, answered), links=others,
                failed=answered is None,
            )  # fmt: skip
            if answered is not None:
                tell_steps(request, first, start, answered)
        else:
            make(request, request.span, "lane.window", start, end, facts, links=[first], failed=answered is None)


def tell_steps(request: RequestSpan, window: Span, start: int, answered: Answered) -> None:
    """The three steps of a model, one after the other, below the window."""
    encoded = start + int(answered.encode_s * 1e9)
    computed = encoded + int(answered.compute_s * 1e9)
    make(request, window, "encode", start, encoded, {})
    make(request, window, "forward", encoded, computed, {"tandem.micro_batches": len(answered.micro_batch_rows)})
    make(request, window, "decode", computed, start + int(answered.seconds * 1e9), {})


def window_facts(slices: Sequence[Slice], answered: Answered | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "tandem.window.rows": sum(part.stop - part.start for part in slices),
        "tandem.window.requests": len(slices),
    }
    if answered is not None:
        facts |= {
            "tandem.micro_batches": len(answered.micro_batch_rows),
            "tandem.padded": answered.stats.padded,
            "tandem.real": answered.stats.real,
            "tandem.error_rows": sum("error" in answer for answer in answered.answers),
        }
    return facts


def make(
    request: RequestSpan, parent: Span, name: str, start: int, end: int, facts: dict[str, Any],
    *, links: Sequence[Span] = (), failed: bool = False,
) -> Span:  # fmt: skip
    """A span that has ended already."""
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Status, StatusCode, set_span_in_context

    span = request.tracer.start_span(
        name, context=set_span_in_context(parent, Context()), start_time=start, attributes=facts,
        links=[Link(other.get_span_context()) for other in links],
    )  # fmt: skip
    if failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end(end_time=max(end, start))
    return span
