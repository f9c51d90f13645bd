"""Where a server may listen without keys."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from service.door.bind import is_public, listening_addresses, refuse_public, refuse_public_sockets
from service.door.errors import PublicAddress
from service.door.settings import DoorSettings
from tests.service.door.ask import add_key, ask, make_door
from tests.service.server import ROOT, bentoml_command, environment, free_port

PRIVATE = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"]
PUBLIC = ["0.0.0.0", "::", "192.0.2.7", "10.0.0.1", "169.254.1.1", "fe80::1%eth0", "::ffff:192.0.2.7"]


@pytest.mark.parametrize("host", [*PRIVATE, "localhost"])
def test_what_only_this_machine_reaches_takes_no_keys(host: str) -> None:
    refuse_public(host, DoorSettings())
    assert not is_public(host)


@pytest.mark.parametrize("host", [*PUBLIC, "models.example", ""])
def test_what_others_reach_takes_keys_or_a_word(host: str, tmp_path: Path) -> None:
    with pytest.raises(PublicAddress, match="--allow-anonymous"):
        refuse_public(host, DoorSettings())
    refuse_public(host, DoorSettings(allow_anonymous=True))
    refuse_public(host, DoorSettings(keys=tmp_path / "keys.json"))


def test_a_socket_that_somebody_else_opened_for_us_is_found() -> None:
    with socket.socket() as private, socket.socket() as public:
        private.bind(("127.0.0.1", 0))
        private.listen()
        refuse_public_sockets(DoorSettings())
        public.bind(("0.0.0.0", 0))
        refuse_public_sockets(DoorSettings())
        public.listen()
        assert {"127.0.0.1", "0.0.0.0"} <= set(listening_addresses())
        with pytest.raises(PublicAddress, match=r"0\.0\.0\.0"):
            refuse_public_sockets(DoorSettings())


@pytest.mark.parametrize("address", PUBLIC[2:])
def test_a_request_that_came_in_from_elsewhere_is_refused_without_keys_however_we_were_started(
    address: str, tmp_path: Path
) -> None:
    url = f"http://[{address}]:3000" if ":" in address else f"http://{address}:3000"
    header = add_key(tmp_path / "keys.json", "ann", "predict")
    if "%" not in address:
        # httpx tells the application the host of its url as the server's own address.
        assert ask(make_door(), "GET", "/ui", url=url).status_code == 403
        assert ask(make_door(allow_anonymous=True), "GET", "/models", url=url).status_code == 200
        assert ask(make_door(keys=tmp_path / "keys.json"), "GET", "/models", url=url, headers=header).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("--host", "0.0.0.0"), {}),
        ((), {"BENTOML_HOST": "0.0.0.0"}),
        ((), {"BENTOML_CONTAINERIZED": "true"}),
    ],
    ids=["by flag", "by variable", "in a container"],
)
def test_the_start_refuses_a_public_address_without_keys(
    tmp_path: Path, arguments: tuple[str, ...], extra: dict[str, str]
) -> None:
    port = free_port()
    env = environment(tmp_path / "home", {"TANDEM_MODELS": "tests.service.models:LetterModel", **extra})
    command = bentoml_command("serve", *arguments, "--port", str(port))
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode not in {0, os.EX_TEMPFAIL}
    assert "0.0.0.0 can be reached from elsewhere, and there are no keys" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr + ended.stdout
