"""Rows that name an address: only below the list, to the machine that was checked, and nowhere else from there."""

from __future__ import annotations

import asyncio
import base64
import http.server
import io
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from models.model import RowFault
from service.door.errors import BodiesFull
from service.door.fetch import address, fetcher
from service.door.fetch.address import is_open
from service.door.fetch.fetcher import Fetcher
from service.door.fetch.get_s3 import Opened
from service.door.fetch.prefix import read_place, read_prefixes
from tests.service.client import predict
from tests.service.server import serving

LIMIT = 100_000
OPEN = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
CLOSED = [
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
    "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1",
]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED)
def test_no_address_of_a_machine_or_a_network_of_ones_own_is_open(address: str) -> None:
    assert not is_open(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OPEN)
def test_an_address_of_the_internet_is_open(address: str) -> None:
    assert is_open(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.example/in", "https://a.example/in/x.png", "https://A.EXAMPLE/in/x.png?sig=1%2F2",
        "https://a.example:443/in/x", "https://a.example./in/x", "s3://bucket/in/x.png",
    ],
)  # fmt: skip
def test_what_is_below_a_prefix_is_found(uri: str) -> None:
    Fetcher(read_prefixes("https://a.example/in,s3://bucket/in/"), limit_bytes=LIMIT).find(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.example/inside", "https://a.example/", "https://a.example", "http://a.example/in/x",
        "https://a.example:444/in/x", "https://b.example/in/x", "https://a.example.evil.example/in/x",
        "https://user@a.example/in/x", "https://a.example@evil.example/in/x", "https://evil.example#@a.example/in/x",
        "https://evil.example\\@a.example/in/x", "https://a.example/in/../x", "https://a.example/in/%2e%2e/x",
        "https://a.example/in/..%2fx", "https://a.example/in/..%5Cx", "https://a.example/in/x\r\nX-A: b",
        "https://a.example/in/ x", "https://a.example/in/\u202e", "file:///etc/passwd", "/etc/passwd", "",
        "s3://bucket/inside", "s3://bucket2/in/x", "s3://bucket/in/x?versionId=1", "gopher://a.example/in/x",
        "https:///in/x", "https://[::1/in/x", "https://a.example:99999/in/x", "https://a.example/in/" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_below_a_prefix_is_refused_and_no_word_tells_of_the_list(uri: str) -> None:
    found = read(Fetcher(read_prefixes("https://a.example/in,s3://bucket/in/"), limit_bytes=LIMIT), uri)
    assert isinstance(found, RowFault)
    assert found.kind == "RefusedUri"
    assert "a.example" not in found.message


@pytest.mark.parametrize(
    "text", ["a.example", "ftp://a.example/", "https://", "https://a.example/?a=b", "https://u@a/"]
)
def test_a_prefix_that_is_none_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="prefixes between commas"):
        read_prefixes(text)


class Held:
    """Room for so many bytes."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit, self.bytes, self.most = limit, 0, 0

    def hold(self, size: int) -> None:
        if self.bytes + size > self.limit:
            raise BodiesFull(self.limit)
        self.bytes += size
        self.most = max(self.most, self.bytes)

    def let_go(self, size: int) -> None:
        self.bytes -= size


def read(fetcher: Fetcher, uri: str) -> bytes | RowFault:
    return asyncio.run(fetcher.fetch_all([uri], Held()))[0]


class Answers(http.server.BaseHTTPRequestHandler):
    """Small objects, and what a server may do to the one who asks it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host']}{self.path}")
        name = self.path.partition("?")[0].rpartition("/")[2]
        self.send_response({"moved": 302, "gone": 404, "broken": 500}.get(name, 200))
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/in/good")
        self.end_headers()
        if name == "endless":
            for _ in range(100):
                self.wfile.write(b"x" * LIMIT)
        elif name == "never":
            self.wfile.flush()
            threading.Event().wait(3)
        else:
            self.wfile.write(b"good")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[tuple[int, list[str]]]:
    """A port at which somebody answers, and what was asked there."""
    asked: list[str] = []
    handler = type("Asked", (Answers,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


def test_what_a_prefix_names_by_its_address_is_read(web: tuple[int, list[str]]) -> None:
    port, asked = web
    for host in ("127.0.0.1", "localhost"):
        reader = Fetcher(read_prefixes(f"http://{host}:{port}/in/"), limit_bytes=LIMIT)
        assert read(reader, f"http://{host}:{port}/in/good?a=b") == b"good"
    assert asked == [f"127.0.0.1:{port}/in/good?a=b", f"localhost:{port}/in/good?a=b"]


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("moved", "RefusedUri", "leads elsewhere"),
        ("gone", "UnreadableUri", "404"),
        ("broken", "UnreadableUri", "500"),
        ("endless", "UnreadableUri", "larger than"),
        ("never", "UnreadableUri", "took too long"),
    ],
)
def test_what_does_not_answer_as_it_should_is_its_rows_fault(
    web: tuple[int, list[str]], name: str, kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "ONE_S", 1.0)
    port, asked = web
    prefix, held = f"http://127.0.0.1:{port}/in/", Held()
    found = asyncio.run(
        Fetcher(read_prefixes(prefix), limit_bytes=LIMIT).fetch_all(
            [prefix + "good", prefix + name, prefix + "good"], held
        )
    )
    assert held.bytes == 8  # what is no answer is kept no longer
    assert (found[0], found[2]) == (b"good", b"good")
    assert isinstance(found[1], RowFault)
    assert (found[1].kind, said in found[1].message) == (kind, True), found[1]
    assert len(asked) == 3  # nothing was followed


def test_a_name_that_leads_to_this_network_is_refused_before_anything_is_asked(
    web: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a name is given a private address: the list names the host, but not where it leads."""
    port, asked = web
    leads = [["127.0.0.1"], [OPEN[0], "169.254.169.254"]]

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in leads[0]]

    async def check() -> bytes | RowFault:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        prefix = f"http://images.example:{port}/"
        found = await Fetcher(read_prefixes(prefix), limit_bytes=LIMIT).fetch_all([prefix + "x"], Held())
        return found[0]

    while leads:
        found = asyncio.run(check())
        assert isinstance(found, RowFault)
        assert (found.kind, "open internet" in found.message) == ("RefusedUri", True)
        leads.pop(0)
    assert asked == []


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    web: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means another machine the second time it is looked up gains nothing: there is no second time."""
    port, asked = web
    looked_up: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(address, "is_open", lambda _: True)  # as if that were an address of the internet

    async def check() -> bytes | RowFault:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        prefix = f"http://images.example:{port}/"
        found = await Fetcher(read_prefixes(prefix), limit_bytes=LIMIT).fetch_all([prefix + "x"], Held())
        return found[0]

    assert asyncio.run(check()) == b"good"
    assert [host for host in looked_up if not host[0].isdigit()] == ["images.example"]
    assert asked == [f"images.example:{port}/x"]


def test_what_is_read_counts_while_it_comes_as_if_it_were_sent(web: tuple[int, list[str]]) -> None:
    prefix, held = f"http://127.0.0.1:{web[0]}/in/", Held(LIMIT)
    reader = Fetcher(read_prefixes(prefix), limit_bytes=100 * LIMIT)
    with pytest.raises(BodiesFull):
        asyncio.run(reader.fetch_all([prefix + "endless"], held))
    assert LIMIT // 2 < held.most <= LIMIT  # and not the whole of it, and then the count


def test_an_object_in_s3_for_which_there_is_no_room_is_not_read(
    bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Opened, "read", None)
    s3_client.put_object(Bucket=bucket, Key="in/good", Body=b"good")
    reader = Fetcher(read_prefixes(f"s3://{bucket}/in/"), limit_bytes=LIMIT)
    with pytest.raises(BodiesFull):
        asyncio.run(reader.fetch_all([f"s3://{bucket}/in/good"], Held(3)))
    reader.close()


def test_objects_in_s3_are_read_below_their_prefix(bucket: str, s3_client: Any) -> None:
    reader = Fetcher(read_prefixes(f"s3://{bucket}/in/"), limit_bytes=LIMIT)
    s3_client.put_object(Bucket=bucket, Key="in/good", Body=b"good")
    s3_client.put_object(Bucket=bucket, Key="in/large", Body=b"x" * (LIMIT + 1))
    found = asyncio.run(reader.fetch_all([f"s3://{bucket}/in/{name}" for name in ("good", "large", "gone")], Held()))
    reader.close()
    assert found[0] == b"good"
    assert [fault.kind for fault in found[1:] if isinstance(fault, RowFault)] == ["UnreadableUri"] * 2


def test_a_served_model_reads_images_from_the_list_and_each_fault_costs_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = io.BytesIO()
    Image.new("L", (28, 28), 200).save(picture, "PNG")
    monkeypatch.setattr(Answers, "do_GET", lambda self: answer_picture(self, picture.getvalue()))
    handler = type("Pictures", (Answers,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
        prefix = f"http://127.0.0.1:{web.server_address[1]}/in/"
        settings = {"TANDEM_MODELS": "fashion-resnet", "TANDEM_ALLOW_URL": prefix}
        with serving(tmp_path / "home", settings) as server:
            rows: list[Any] = [
                base64.b64encode(picture.getvalue()).decode(),
                {"uri": prefix + "x.png"},
                {"image": {"uri": prefix + "x.png"}},
                {"uri": "http://127.0.0.1:1/in/x.png"},
                {"image": {"uri": str(tmp_path / "x.png")}},
                {"image": prefix + "x.png"},
            ]
            found = predict(server.port, "fashion-resnet", rows).predictions
            lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows * 2)
            url = f"http://127.0.0.1:{server.port}/predict?model=fashion-resnet"
            reply = httpx.post(url, content=lines, headers={"Content-Type": "application/x-ndjson"}, timeout=30)
        web.shutdown()
    assert [json.loads(line) for line in reply.text.splitlines()] == found * 2
    assert found[0] == found[1] == found[2]
    assert [row.get("error", {}).get("class") for row in found] == [
        None, None, None, "RefusedUri", "RefusedUri", "UndecodableImage",
    ]  # fmt: skip


def answer_picture(handler: http.server.BaseHTTPRequestHandler, picture: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(picture)))
    handler.end_headers()
    handler.wfile.write(picture)


def test_a_place_is_read_as_it_is_written() -> None:
    place = read_place("https://[2606:2800::1]:8443/a%20b?c=d")
    assert (place.host, place.port, place.path, place.query) == ("2606:2800::1", 8443, "/a%20b", "c=d")
