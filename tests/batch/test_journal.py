"""The journal shows another process what is in hand, also after its writer was killed."""

from __future__ import annotations

import mmap
import os
import signal
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pytest

from batch.bounds import Bounds
from batch.predict import Spent, decode_rows, encode_rows, predict_batches
from batch.supervise.journal import ACCOUNT_BYTES, ROWS, SIZE_BYTES, SLOTS, Call, Journal
from models.blame import SUSPICIOUS, Blame
from models.errors import ContractBroken
from models.model import Encoded, MicroBatch, Model, Outputs, Values
from tests.batch.own_models import RaisingArithmetic, RaisingDecoder, RaisingEncoder


@pytest.fixture
def memory() -> mmap.mmap:
    return mmap.mmap(-1, SIZE_BYTES)


def test_a_call_is_noted_for_as_long_as_it_lasts(memory: mmap.mmap) -> None:
    writer, reader = Journal(memory), Journal(memory)
    with writer.call("encode", range(128, 384)), writer.call("forward", np.array([3, 9, 27]), 1.5):
        encode, forward = reader.calls
        assert (encode.step, encode.rows, encode.expected_s) == ("encode", range(128, 384), 0.0)
        assert (forward.step, forward.rows, forward.expected_s) == ("forward", [3, 9, 27], 1.5)
        assert encode.number < forward.number
    assert reader.calls == []


def test_a_call_that_raises_is_noted_no_longer(memory: mmap.mmap) -> None:
    journal = Journal(memory)
    with pytest.raises(KeyError), journal.call("decode", range(3)):
        raise KeyError
    assert journal.calls == []


def test_a_call_of_very_many_rows_is_noted_as_their_span(memory: mmap.mmap) -> None:
    journal = Journal(memory)
    with journal.call("forward", np.arange(5, 5 + 2 * (ROWS + 1), 2)):
        (call,) = journal.calls
    assert call.rows == range(5, 5 + 2 * ROWS + 1)


def test_more_calls_than_places_are_made_all_the_same(memory: mmap.mmap) -> None:
    journal = Journal(memory)
    calls = [journal.call("forward", range(n, n + 1)) for n in range(SLOTS + 3)]
    for call in calls:
        call.__enter__()
    assert len(journal.calls) == SLOTS
    for call in calls:
        call.__exit__(None, None, None)
    assert journal.calls == []


def test_it_outlives_its_writer(memory: mmap.mmap) -> None:
    child = os.fork()
    if child == 0:
        journal = Journal(memory)
        journal.begin("0123456789abcdef0123")
        journal.enter(640)
        journal.leave(128)
        with journal.call("forward", np.array([200, 201])):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    journal = Journal(memory)
    assert journal.shard == "0123456789abcdef0123"
    assert journal.in_flight == range(128, 640)
    assert [call.rows for call in journal.calls] == [[200, 201]]
    assert journal.ended is None


def test_a_process_says_how_it_ends(memory: mmap.mmap) -> None:
    Journal(memory).end(0)
    assert Journal(memory).ended == 0
    Journal(memory).end(75)
    assert Journal(memory).ended == 75


def test_it_tells_what_was_done_by_the_last_account_that_was_whole(memory: mmap.mmap) -> None:
    writer, reader = Journal(memory), Journal(memory)
    assert reader.account is None
    for rows in (5, 17, 170):
        writer.count({"rows": rows, "spent": {"read": 0.5}})
        assert reader.account == {"rows": rows, "spent": {"read": 0.5}}
    writer.count({"rows": 200, "first_error": "x" * ACCOUNT_BYTES})
    assert reader.account == {"rows": 170, "spent": {"read": 0.5}}, "one that is too long is not noted"
    assert reader.calls == []


def answer(model: Model, texts: list[str], journal: Journal) -> None:
    windows = [(pa.record_batch({"text": texts}), Spent())]
    encoded = encode_rows(model, windows, column="text", bounds=Bounds(), journal=journal)
    for _ in decode_rows(model, predict_batches(model, encoded, journal=journal, blame=Blame()), journal=journal):
        pass


def test_a_sample_that_tells_whether_rows_or_the_model_raise_is_noted(memory: mmap.mmap) -> None:
    journal = Journal(memory)
    seen: list[list[Call]] = []

    class Watched(RaisingArithmetic):
        def forward(self, micro_batch: MicroBatch) -> NoReturn:
            seen.append(journal.calls)
            raise RuntimeError

    with pytest.raises(ContractBroken):
        answer(Watched(), ["the same"] * SUSPICIOUS, journal)
    assert len(seen) > 1, "the sample among them"
    assert [] not in seen


def test_each_call_that_looks_for_the_rows_that_raise_is_noted_by_itself(memory: mmap.mmap) -> None:
    """Together they may take longer than one call may."""
    journal = Journal(memory)
    seen: list[int] = []

    class WatchedEncoder(RaisingEncoder):
        def encode(self, values: Values) -> Encoded:
            seen.extend(call.number for call in journal.calls)
            return super().encode(values)

    class WatchedDecoder(RaisingDecoder):
        def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
            seen.extend(call.number for call in journal.calls)
            return super().decode(outputs, encoded)

    for model in (WatchedEncoder(), WatchedDecoder()):
        seen.clear()
        answer(model, ["a goal", " ".join(["word"] * 13), "another goal"], journal)
        assert len(seen) > 3, "of the whole, of halves, and without the one"
        assert len(seen) == len(set(seen))
