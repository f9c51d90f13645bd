"""A real server with keys: what each key sees of it, what is written down, and TLS."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.door.key_file import KeyFile, change_key_file
from tests.service.client import Reply, ask, predict_body
from tests.service.door.ask import add_key
from tests.service.server import Server, serving

MODELS = "tests.service.models:LetterModel,tests.service.models:NaNModel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("door")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    """Headers by the name of their key."""
    path = folder / "keys.json"
    made = {
        "letters": add_key(path, "letters", "predict:letters", max_rows=3),
        "both": add_key(path, "both", "predict", "jobs:letters"),
        "admin": add_key(path, "admin", "admin:letters"),
    }
    return {name: f"Authorization: {header['Authorization']}" for name, header in made.items()}


@pytest.fixture(scope="module")
def server(folder: Path, keys: dict[str, str]) -> Iterator[Server]:
    settings = {
        "TANDEM_MODELS": MODELS,
        "TANDEM_KEYS": str(folder / "keys.json"),
        "TANDEM_AUDIT_LOG": str(folder / "audit.log"),
    }
    with serving(folder / "home", settings) as running:
        yield running


def predict(server: Server, model: str, rows: list[str], *headers: str) -> Reply:
    return ask(server.port, "POST", "/predict", predict_body(model, rows), headers)


def audit(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]


def test_a_model_that_a_key_does_not_reach_is_one_that_is_not_there(server: Server, keys: dict[str, str]) -> None:
    names = [card["name"] for card in ask(server.port, "GET", "/models", headers=[keys["letters"]]).content["models"]]
    assert names == ["letters"]
    said = []
    for name in ("nan", "nun"):
        for method, path, body in (("POST", "/predict", predict_body(name, ["a"])), ("GET", f"/models/{name}", b"")):
            reply = ask(server.port, method, path, body, [keys["letters"]])
            assert reply.status == 404
            said.append(reply.content["error"].replace("nan", "nun"))
    assert len(set(said)) == 1
    assert "letters:1" in said[0]
    assert predict(server, "nan", ["a"], keys["both"]).status == 200


def test_no_list_tells_of_a_model_that_the_key_does_not_reach(server: Server, keys: dict[str, str]) -> None:
    from service.routes import OPERATIONS

    lists = [
        operation for operation in OPERATIONS if "{" not in operation.path and not operation.path.startswith("/ui")
    ]
    asked = [one for one in lists if one.method == "GET" or one.path == "/v2/repository/index"]
    assert {"/models", "/v1/models", "/v2/repository/index", "/docs.json"} <= {one.path for one in asked}
    for operation in asked:
        reply = ask(server.port, operation.method, operation.path, headers=[keys["letters"]])
        assert b"nan:1" not in reply.body, operation.path
        assert b'"nan"' not in reply.body, operation.path


def test_a_key_learns_nothing_of_the_store_by_loading_models_that_it_does_not_reach(
    server: Server, keys: dict[str, str]
) -> None:
    said = set()
    for name in ("language-bigru", "nothing"):
        for path, body in (("/models/load", {"model": name}), (f"/v2/repository/models/{name}/load", {})):
            reply = ask(server.port, "POST", path, json.dumps(body).encode(), [keys["admin"]])
            said.add((reply.status, reply.content["error"].replace(name, "NAME")))
    assert [(status, "letters:1" in line) for status, line in said] == [(404, True)]


def test_a_key_sends_no_more_rows_at_once_than_it_may(server: Server, keys: dict[str, str]) -> None:
    assert predict(server, "letters", ["a"] * 3, keys["letters"]).status == 200
    refused = predict(server, "letters", ["a"] * 4, keys["letters"])
    assert refused.status == 413
    assert "the key 'letters' may send 3 at once" in refused.content["error"]
    assert predict(server, "letters", ["a"] * 4, keys["both"]).status == 200


def test_every_operation_of_every_room_that_is_not_open_to_all_takes_a_key(server: Server) -> None:
    from service.routes import OPERATIONS

    open_to_all = {operation.path for operation in OPERATIONS if operation.action is None}
    assert not {path for path in open_to_all if path.startswith(("/jobs", "/models", "/predict", "/lanes"))}
    for operation in OPERATIONS:
        path = operation.path.replace("{", "").replace("}", "").replace(":path", "")
        status = ask(server.port, operation.method, path).status
        assert (status == 401) == (operation.action is not None), (operation.method, path, status)


def test_keys_are_taken_and_removed_while_the_server_runs(server: Server, keys: dict[str, str], folder: Path) -> None:
    path = folder / "keys.json"
    late = f"Authorization: {add_key(path, 'late', 'predict')['Authorization']}"
    wait_for(200, server, late)
    change_key_file(path, lambda file: KeyFile(keys=[key for key in file.keys if key.name != "late"]))
    wait_for(401, server, late)
    good = path.read_text()
    path.write_text("{")
    ends = time.monotonic() + 60
    while "the keys from before still count" not in server.log.read_text():
        assert time.monotonic() < ends
        assert predict(server, "letters", ["a"], keys["both"]).status == 200
        time.sleep(0.1)
    assert predict(server, "letters", ["a"], keys["both"]).status == 200
    path.write_text(good)


def wait_for(status: int, server: Server, header: str) -> None:
    ends = time.monotonic() + 60
    while predict(server, "letters", ["a"], header).status != status:
        assert time.monotonic() < ends, f"never {status}"
        time.sleep(0.1)


def test_every_prediction_and_every_refusal_is_one_audit_line_with_its_rows_counted_once(
    server: Server, keys: dict[str, str], folder: Path
) -> None:
    before = len(audit(folder))
    predict(server, "letters", ["a", "b"], keys["both"], "X-Request-Id: first")
    predict(server, "letters", ["a"] * 4, keys["letters"], "X-Request-Id: second")
    predict(server, "letters", ["a"], "X-Request-Id: third")
    ask(server.port, "POST", "/models/unload", b'{"model": "nan:1"}', [keys["both"], "X-Request-Id: fourth"])
    ask(server.port, "POST", "/models/unload", b'{"model": "nan:1"}', [keys["admin"], "X-Request-Id: fifth"])
    ends = time.monotonic() + 60  # a line is written once the answer has gone out
    while len(lines := audit(folder)[before:]) < 5:
        assert time.monotonic() < ends, lines
        time.sleep(0.05)
    told = [[line[name] for name in ("request_id", "key", "action", "model", "rows", "status")] for line in lines]
    assert told == [
        ["first", "both", "predict", "letters:1", 2, 200],
        ["second", "letters", "predict", "letters:1", 0, 413],
        ["third", None, "predict", None, 0, 401],
        ["fourth", "both", "admin", None, 0, 403],
        ["fifth", "admin", "admin", None, 0, 404],
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    text = (folder / "audit.log").read_text()
    assert not any(header.split()[-1] in text for header in keys.values())


def test_nothing_else_listens(server: Server) -> None:
    """Of the whole family of processes, the entry port alone is reached over the network."""
    family = {server.process.pid}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if int(fields["PPid"]) in family:
            family.add(int(fields["Pid"]))
    inodes = set()
    for pid in family:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(str(handle.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[at] for at in (1, 3, 9))
            if state == "0A" and inode in inodes:
                listening.add((local.partition(":")[0], int(local.partition(":")[2], 16)))
    loopback = "0100007F"
    assert (loopback, server.port) in listening
    assert {address for address, _ in listening} == {loopback}


def test_over_tls_it_answers_as_before_and_says_so(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)

    def ready(port: int) -> bool:
        with contextlib.suppress(OSError):
            return get_over_tls(context, port, "/readyz").startswith("HTTP/1.1 200")
        return False

    flags = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    settings = {
        "TANDEM_MODELS": "tests.service.models:LetterModel",
        "TANDEM_HEADER_TIMEOUT_S": "3",
        "TANDEM_MAX_CONNECTIONS": "20",
    }
    with serving(tmp_path / "home", settings, target=flags, ready=ready) as server:
        answer = get_over_tls(context, server.port, "/models")
        assert answer.startswith("HTTP/1.1 200")
        assert "letters:1" in answer
        assert "strict-transport-security: max-age=" in answer
        with socket.create_connection(("127.0.0.1", server.port), 20) as plain:
            plain.sendall(b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"letters" not in plain.recv(65536)
        with contextlib.ExitStack() as stack:
            made = (socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(100))
            silent_ones = [stack.enter_context(one) for one in made]
            assert get_over_tls(context, server.port, "/models").startswith("HTTP/1.1 200")
            ends = time.monotonic() + 1.5  # after 3 s all of them go
            while (left := len(silent_ones) - len(over(silent_ones))) > 20 and time.monotonic() < ends:
                time.sleep(0.05)
            assert left <= 20
            assert all(silent.recv(1) == b"" for silent in silent_ones)  # what never begins is not waited for
        assert "Traceback" not in server.log.read_text()


def over(connections: list[socket.socket]) -> list[socket.socket]:
    """Those that the server has closed, without a word."""
    return select.select(connections, [], [], 0)[0]


def get_over_tls(context: ssl.SSLContext, port: int, path: str) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: secure.recv(65536), b"")).decode()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed one for localhost."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
