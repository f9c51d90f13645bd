"""POST /predict beyond JSON: tables of Parquet and Arrow in and out, and lines of JSON while they come."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.requests import Request

from service.door.bodies import Bodies
from service.door.settings import DoorSettings
from service.protocols.predict.errors import StreamEnded, StreamsFull, TableTooLarge, TableUnreadable
from service.protocols.predict.incoming import SLICE_BYTES, Incoming
from service.protocols.predict.media import ARROW_FILE, ARROW_STREAM, JSON, LINES, PARQUET, TABLES
from service.protocols.predict.streams import SLOW_S, Stream, Streams
from service.protocols.predict.tables import read_table, write_table
from tests.service.models import EmbeddingModel, LetterModel
from tests.service.server import Server, serving

LETTERS, COUNTS = "tests.service.models:LetterModel", "tests.service.models:EmbeddingModel"
MIB = 1 << 20
TABLE = pa.table({"id": [7, 8, 9], "text": ["apple", None, "zebra"], "score": ["a", "b", "c"]})
LINE_LIMIT = MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"TANDEM_MODELS": f"{LETTERS},{COUNTS},fashion-resnet", "TANDEM_MAX_BODY_MB": "1"}
    settings |= {
        "TANDEM_MAX_BODIES_MB": "6",
        "TANDEM_MAX_STREAMS": "2",
        "TANDEM_STREAM_SILENT_S": "3",
        "TANDEM_BODY_TIMEOUT_S": "3",
    }
    with serving(tmp_path_factory.mktemp("bodies") / "home", settings) as found:
        yield found


def post(
    server: Server, body: bytes | Iterator[bytes], kind: str, accept: str = "*/*", query: str = "model=letters"
) -> httpx.Response:
    headers = {"Content-Type": kind, "Accept": accept}
    return httpx.post(f"http://127.0.0.1:{server.port}/predict?{query}", content=body, headers=headers, timeout=30)


def read(body: bytes, media: str) -> pa.Table:
    if media == PARQUET:
        return pq.read_table(io.BytesIO(body))
    return (pa.ipc.open_stream if media == ARROW_STREAM else pa.ipc.open_file)(body).read_all()


@pytest.mark.parametrize("given", TABLES)
@pytest.mark.parametrize("wanted", TABLES)
def test_a_table_comes_back_with_its_other_columns_and_the_predictions(server: Server, given: str, wanted: str) -> None:
    reply = post(server, write_table(TABLE, given), given, wanted)
    assert (reply.status_code, reply.headers["content-type"]) == (200, wanted)
    assert reply.headers["x-tandem-model"] == "letters:1"
    found = read(reply.content, wanted)
    assert found.schema.names == ["id", "input_score", "label", "score", "scores", "truncated", "error"]
    assert [found.schema.field(field.name).type for field in LetterModel.spec.output_fields] == [
        field.type for field in LetterModel.spec.output_fields
    ]
    assert found["label"].to_pylist() == ["early", None, "late"]
    assert [error and error["class"] for error in found["error"].to_pylist()] == [None, "NullValue", None]
    assert found["input_score"].to_pylist() == ["a", "b", "c"]


def test_pandas_and_duckdb_read_what_comes_back(server: Server) -> None:
    reply = post(server, write_table(TABLE, PARQUET), PARQUET, query="model=counts")
    assert reply.headers["content-type"] == PARQUET  # as it was sent
    frame = pd.read_parquet(io.BytesIO(reply.content))
    assert frame["embedding"][0] == pytest.approx(np.array([1, 0, 0, 0]) / 3)
    answered = read(reply.content, PARQUET)
    assert answered.schema.field("embedding").type == EmbeddingModel.spec.output_fields[0].type
    assert duckdb.sql("select count(*) from answered where error.class = 'NullValue'").fetchall() == [(1,)]


def test_json_and_tables_are_answered_in_each_other(server: Server) -> None:
    rows = json.dumps({"rows": ["apple", "zebra"]}).encode()
    assert read(post(server, rows, JSON, ARROW_FILE).content, ARROW_FILE)["label"].to_pylist() == ["early", "late"]
    said = post(server, write_table(TABLE, ARROW_STREAM), ARROW_STREAM, JSON).json()
    assert [entry.get("label") for entry in said["predictions"]] == ["early", None, "late"]


def test_the_model_s_column_may_have_another_name(server: Server) -> None:
    renamed = write_table(TABLE.rename_columns(["id", "body", "score"]), PARQUET)
    reply = post(server, renamed, PARQUET, JSON)
    assert reply.status_code == 400
    assert "lacks the column 'text'; it has id, body, score" in reply.json()["error"]
    assert post(server, renamed, PARQUET, JSON, "model=letters&column=body").status_code == 200


def test_kinds_that_are_not_read_or_not_given_are_named(server: Server) -> None:
    reply = post(server, b"a,b", "text/csv")
    assert reply.status_code == 415
    assert all(reply.json()["error"].count(media) == 1 for media in (JSON, *TABLES, LINES))
    assert post(server, b'{"rows": []}', JSON, "text/html").status_code == 406


def test_a_table_whose_answer_would_name_two_columns_alike_is_refused(server: Server) -> None:
    table = pa.table({"text": ["a"], "label": ["b"], "input_label": ["c"]})
    reply = post(server, write_table(table, PARQUET), PARQUET)
    assert (reply.status_code, "two columns 'input_label'" in reply.json()["error"]) == (400, True)


@pytest.mark.parametrize("media", TABLES)
def test_a_table_that_is_cut_off_or_damaged_is_one_line(server: Server, media: str) -> None:
    whole = write_table(TABLE, media)
    for body in (b"", whole[:40], whole[: len(whole) // 2], whole[:-5], bytes(len(whole)), whole[:50] * 3):
        reply = post(server, body, media)
        assert reply.status_code in {400, 413}, (body, reply.text)
        assert "\n" not in reply.json()["error"]


def bomb(column: pa.Array) -> Callable[[str], bytes]:
    return lambda media: write_table(pa.table({"text": column}), media)


BOMBS = {
    "a word of a dictionary again and again": bomb(
        pa.DictionaryArray.from_arrays(pa.array([0] * 900, pa.int32()), pa.array(["x" * 20_000]))
    ),
    "nulls without bytes in a list": bomb(pa.ListArray.from_arrays(pa.array([0, 10**9], pa.int32()), pa.nulls(10**9))),
    "nulls without bytes in a vector": bomb(pa.FixedSizeListArray.from_arrays(pa.nulls(10**9), 10**9)),
    "one list seen again and again": bomb(
        pa.ListViewArray.from_arrays(
            pa.array([0] * 900, pa.int32()), pa.array([10_000] * 900, pa.int32()), pa.array([0] * 10_000, pa.int8())
        )
    ),
    "one value over many rows": bomb(
        pa.RunEndEncodedArray.from_arrays(pa.array([900], pa.int32()), pa.array(["x" * 20_000]))
    ),
}


@pytest.mark.parametrize("made", BOMBS.values(), ids=BOMBS.keys())
def test_a_few_bytes_that_stand_for_many_are_refused_before_they_are_spelled_out(made: Callable[[str], bytes]) -> None:
    body = made(ARROW_STREAM)
    with pytest.raises((TableTooLarge, TableUnreadable)):
        read_table(body, ARROW_STREAM, max_rows=1000, max_bytes=8 * MIB)


def test_a_packed_buffer_that_unpacks_to_more_is_refused() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"text": ["x" * (16 * MIB)]})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    body = bytes(sink.getvalue())
    assert len(body) < 100_000
    with pytest.raises(TableTooLarge):
        read_table(body, ARROW_STREAM, max_rows=1000, max_bytes=8 * MIB)
    with pytest.raises(TableUnreadable, match="bomb"):
        read_table(write_table(table, PARQUET), PARQUET, max_rows=1000, max_bytes=8 * MIB)


def test_what_tables_unpack_to_counts_among_all_bodies(server: Server) -> None:
    """Six MiB of bodies may be held; seven, spelled out, are not, though they come packed in a few thousand bytes."""
    for letters, status in ((5, 200), (7, 503), (5, 200)):
        table = pa.table({"text": pa.array(["a"] * 8), "rest": pa.array(["x" * (letters * MIB // 8)] * 8)})
        body = write_table(table, PARQUET)
        assert len(body) < MIB
        reply = post(server, body, PARQUET, accept=JSON)
        assert reply.status_code == status, reply.text


class Talk:
    """One request of lines over a socket: lines are put in while answers are read."""

    def __init__(self, server: Server) -> None:
        self.port = server.port

    async def __aenter__(self) -> Talk:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=4 * MIB)
        head = "POST /predict?model=letters HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson"
        self.writer.write(f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.writer.close()

    def say(self, data: bytes) -> None:
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def hear(self) -> Any:
        """The next line of the answer; None behind the last."""
        while not (line := await asyncio.wait_for(self.reader.readline(), 20)).startswith((b"{", b"0\r\n")):
            assert line, "the connection was closed"
        return None if line.startswith(b"0") else json.loads(line)


def talk(check: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(check(), 60))


def test_lines_are_answered_while_the_body_still_comes(server: Server) -> None:
    async def check() -> None:
        async with Talk(server) as stream:
            stream.say(b'\xef\xbb\xbf"apple"\r\n')
            assert (await stream.hear())["label"] == "early"
            stream.say(b'\n{"text": "ze')
            stream.say(b'bra"}\n')
            assert (await stream.hear())["label"] == "late"
            stream.say(b'{nonsense\r\n{"text": null}\n')
            assert [(await stream.hear())["error"]["class"] for _ in range(2)] == ["BadLine", "NullValue"]
            stream.say(b'"apple"')  # the last line needs no end
            stream.end()
            assert (await stream.hear())["label"] == "early"
            assert await stream.hear() is None

    talk(check)


def test_a_stream_may_be_longer_than_a_body(server: Server) -> None:
    lines = (b'"apple' + b"x" * 40_000 + b'"\n') * 60
    assert len(lines) > 2 * MIB
    for body in (lines, iter((lines,))):  # announced, and in pieces
        reply = post(server, body, LINES)
        assert (reply.status_code, reply.text.count("\n")) == (200, 60)
        assert "error" not in reply.text


def test_what_goes_wrong_before_the_first_answer_is_told_by_the_status(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/predict?model=letters"
    headers = {"Content-Type": LINES, "X-Request-Timeout": "1e-9"}
    reply = httpx.post(url, content=b'"apple"\n"zebra"\n', headers=headers)
    assert (reply.status_code, reply.json()["error"][:27]) == (503, "letters:1 cannot answer wit")
    assert int(reply.headers["retry-after"]) >= 1
    assert post(server, b'"' + b"x" * 2 * LINE_LIMIT, LINES).status_code == 413
    assert httpx.post(url, content=unfinished(), headers={"Content-Type": LINES}, timeout=30).status_code == 408


def unfinished() -> Iterator[bytes]:
    yield b'"apple'
    time.sleep(4)  # 3 s of silence are borne
    yield b'"\n'


def test_blank_lines_are_no_rows(server: Server) -> None:
    reply = post(server, b'\n"apple"\n  \r\n\n{}\n\n', LINES)
    assert [("label" in json.loads(line)) for line in reply.text.splitlines()] == [True, False]
    assert (post(server, b"\n\n", LINES).status_code, post(server, b"\n", LINES).text) == (200, "")


def test_lines_count_among_the_bodies_until_they_are_taken() -> None:
    async def check() -> None:
        pieces = [b'"a"\n\n"b', b'"\n', b'"cccc', b'c"']

        async def receive() -> dict[str, Any]:
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": len(pieces) > 0}

        bodies = Bodies(DoorSettings.read({}))
        scope: dict[str, Any] = {"type": "http", "headers": []}
        body = scope["tandem.body"] = bodies.open(scope, {}, receive, limit_bytes=None)
        incoming = Incoming(Request(scope, body.receive), Stream(), silent_s=5, max_bytes=MIB)
        await incoming.gone.wait()
        assert bodies.held_bytes == len(b'"a"\n"b"\n"ccccc"')
        assert await incoming.take(2) == ["a", "b"]
        assert bodies.held_bytes == len(b'"ccccc"')
        assert (await incoming.take(2))[0] == "ccccc"
        assert bodies.held_bytes == 0

    asyncio.run(check())


def test_others_go_on_while_a_piece_of_nothing_but_blank_lines_is_read() -> None:
    """A compressed body comes in pieces of megabytes."""
    turns: list[int] = []

    async def check() -> None:
        left = [b"\n" * MIB]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": left.pop()} if left else {"type": "http.disconnect"}

        async def others() -> None:
            while True:
                turns.append(1)
                await asyncio.sleep(0)

        body_scope: dict[str, Any] = {"type": "http", "headers": []}
        body = body_scope["tandem.body"] = Bodies(DoorSettings.read({})).open(body_scope, {}, receive, limit_bytes=None)
        incoming = Incoming(Request(body_scope, body.receive), Stream(), silent_s=5, max_bytes=MIB)
        busy = asyncio.create_task(others())
        await incoming.gone.wait()
        busy.cancel()

    asyncio.run(check())
    assert len(turns) >= MIB // SLICE_BYTES


def test_a_stream_that_ends_with_the_server_before_its_first_answer_is_no_fault_of_its_sender() -> None:
    streams, told = Streams(2), list[StreamEnded]()
    streams.enter(Stream(end=told.append))
    streams.end_all()
    assert [error.status for error in told] == [503]


def test_a_line_without_an_end_ends_its_stream_with_a_word(server: Server) -> None:
    async def check() -> None:
        async with Talk(server) as stream:
            stream.say(b'"apple"\n"')
            assert (await stream.hear())["label"] == "early"
            for _ in range(LINE_LIMIT // 65536 + 1):
                stream.say(b"x" * 65536)
            assert "a line is longer than 1 MiB" in (await stream.hear())["error"]
            assert await stream.hear() is None

    talk(check)


def test_who_leaves_frees_his_place_at_once(server: Server) -> None:
    """Only two may be open."""

    async def check() -> None:
        for _ in range(8):
            async with Talk(server) as stream:
                stream.say(b'"apple"\n')
                assert (await stream.hear())["label"] == "early"

    talk(check)


def test_a_stream_whose_sender_is_silent_is_ended_with_a_word(server: Server) -> None:
    async def check() -> None:
        async with Talk(server) as stream:
            stream.say(b'"apple"\n"unfinished')
            assert (await stream.hear())["label"] == "early"
            assert "nothing came for 3 s" in (await stream.hear())["error"]

    talk(check)


def test_where_every_stream_brings_lines_another_is_told_to_come_again(server: Server) -> None:
    """Only two may be open."""

    async def check() -> None:
        async with Talk(server) as first, Talk(server) as second:
            for stream in (first, second):
                stream.say(b'"apple"\n')
                assert (await stream.hear())["label"] == "early"
            refused = await asyncio.to_thread(post, server, b'"apple"\n', LINES)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert "2 streams of lines are open" in refused.json()["error"]
            for stream in (first, second):  # and nothing was taken from those who are there
                stream.say(b'"zebra"\n')
                assert (await stream.hear())["label"] == "late"

    talk(check)


def test_from_who_reads_no_answers_only_so_much_is_taken_and_he_is_let_go(server: Server) -> None:
    """Each answer is longer than its line: what neither side's sockets hold would lie in the server's memory."""
    head = b"POST /predict?model=letters HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    lines, sent = (b'{"' + b"x" * 200 + b'": 1}\n') * 300, 0
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.settimeout(60)
        caller.connect(("127.0.0.1", server.port))
        caller.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 32 * MIB:
                caller.sendall(f"{len(lines):x}\r\n".encode() + lines + b"\r\n")
                sent += len(lines)
    assert sent < 32 * MIB

    async def check() -> None:
        async with Talk(server) as first, Talk(server) as second:  # his place is free
            for stream in (first, second):
                stream.say(b'"apple"\n')
                assert (await stream.hear())["label"] == "early"

    talk(check)


def test_where_the_room_is_full_the_slowest_stream_gives_way_and_one_that_brings_lines_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, told = 100.0, list[StreamEnded]()
    monkeypatch.setattr("service.protocols.predict.streams.time.monotonic", lambda: now)
    room = Streams(2)
    first, second, third = Stream(progressed=now, end=told.append), Stream(progressed=now), Stream(progressed=now)
    room.enter(first)
    room.enter(second)
    now += SLOW_S - 1
    second.progress()
    with pytest.raises(StreamsFull):
        room.enter(third)
    now += 1
    third.progress()
    room.enter(third)
    assert [(error.status, error.why) for error in told] == [
        (408, "others wait for its place, and it brought no line for the longest time.")
    ]
    assert len(room) == 2
    with pytest.raises(StreamsFull):
        room.enter(first)


def test_a_server_that_ends_tells_its_streams_and_owes_them_nothing(server: Server) -> None:
    """The last test of this module: it ends the server."""

    async def check() -> None:
        async with Talk(server) as stream:
            stream.say(b'"apple"\n')
            assert (await stream.hear())["label"] == "early"
            server.process.terminate()
            assert "the server ends" in (await stream.hear())["error"]
            assert await stream.hear() is None

    talk(check)
    assert server.process.wait(60) == 0
