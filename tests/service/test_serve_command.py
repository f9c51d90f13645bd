"""`tandem serve`: what it refuses, how it starts, and that nothing of it is left when it has ended."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.locate import zoo_folders
from service.cli.listen import check_certificate
from service.cli.serve import serve
from service.settings import ALL_SETTINGS
from tests.service.client import Connection, ask, predict, predict_body
from tests.service.processes import is_gone, listening_ports, processes_of, wait_until
from tests.service.server import ROOT, Server, environment, free_port, serving, tandem_command

DEADLY = "tests.service.isolated.models:DeadlyModel"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`tandem serve ./mine`, in a folder that is not Tandem's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (model,) = [zoo for zoo in zoo_folders() if zoo.name == "vowels-bilstm"]
    shutil.copytree(model, folder / "mine")
    settings = {"PYTHONPATH": str(ROOT)}
    with serving(folder / "home", settings, target=("./mine",), folder=folder, command=tandem_command) as server:
        yield server


def test_it_serves_a_folder_named_from_where_it_is_called(server: Server) -> None:
    reply = predict(server.port, "vowels-bilstm", [[[0.1] * 12] * 5])
    assert "label" in reply.predictions[0]


def test_a_jobs_places_are_those_of_the_folder_where_it_is_called(server: Server) -> None:
    folder = server.log.parent
    (folder / "in").mkdir()
    pq.write_table(pa.table({"id": [1, 2], "sequence": [[[0.1] * 12] * 5] * 2}), folder / "in" / "a.parquet")
    spec = {"model": "vowels-bilstm", "input": "in/", "output": "out/"}
    reply = ask(server.port, "POST", "/jobs", json.dumps(spec).encode())
    assert reply.status == 201, reply.body
    job = str(reply.content["id"])
    wait_until(lambda: server.get(f"/jobs/{job}").content["status"] == "done", "the job's end")
    assert list((folder / "out").glob("**/*.parquet"))


def test_it_says_once_where_it_answers(server: Server) -> None:
    wait_until(lambda: "answers at" in server.log.read_text(), "the line")
    assert server.log.read_text().count(f"Tandem answers at http://127.0.0.1:{server.port} ") == 1
    assert "Starting production" not in server.log.read_text()


def test_nothing_of_it_listens_but_its_port(server: Server) -> None:
    assert listening_ports(processes_of(server.process.pid)) == {server.port}


def test_a_port_in_use_is_said_before_anything_is_loaded(server: Server, tmp_path: Path) -> None:
    command = tandem_command("serve", "no-such-model", "--port", str(server.port))
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path / "home", {}), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"tandem: --port={server.port}: something listens at 127.0.0.1 port {server.port}")
    assert len(ended.stderr.splitlines()) == 1


def test_a_model_that_cannot_be_served_ends_it_with_3_and_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        tandem_command("serve", "tests.service.models:Nobody"),
        cwd=ROOT, env=environment(tmp_path / "home", {}), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 3
    assert "which has no Nobody" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_home_that_cannot_be_one_ends_it_with_2_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = subprocess.run(
        tandem_command("serve", "vowels-bilstm", "--port", str(free_port())),
        cwd=ROOT, env=environment(tmp_path / "home", {"BENTOML_HOME": str(tmp_path / "file")}),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("tandem: BENTOML_HOME: BentoML cannot make its home")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-queue-rows", "many"], "--max-queue-rows='many': expected a whole number from 1 to 1000000."),
        (["--runtime", "tensorrt"], "--runtime='tensorrt': expected one of auto, onnx, openvino, torch."),
        (["--host", "nowhere"], "--host='nowhere': expected an address of this machine"),
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached from elsewhere, and there are no keys"),
        (["--host", "192.0.2.1", "--allow-anonymous"], "--host='192.0.2.1': this machine has no such address."),
        (["a", "--models", "b"], "--models: the models are named once"),
        (["a", "a"], "TANDEM_MODELS (--models)='a,a': expected each model once"),
        (["--ssl-certfile", "c.pem"], "--ssl-certfile: --ssl-keyfile is missing; TLS takes both."),
        (["--ssl-certfile", "c.pem", "--ssl-keyfile", "k.pem"], "--ssl-certfile='c.pem': no such file or directory."),
    ],
)
def test_what_cannot_be_followed_is_named_by_its_flag_and_ends_with_2(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {})
    with pytest.raises(click.ClickException) as refused:
        serve.main([*arguments, "--port", "54321"], standalone_mode=False)
    assert refused.value.format_message().startswith(said)
    assert refused.value.exit_code == 2


def test_every_setting_is_a_flag_and_where_it_listens_comes_first() -> None:
    flags = [name for parameter in serve.params for name in parameter.opts if name.startswith("--")]
    assert {setting.flag for setting in ALL_SETTINGS} <= set(flags)
    assert flags[:3] == ["--models", "--host", "--port"]


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nothing")
    with pytest.raises(click.ClickException, match=r"--ssl-certfile=.*c\.pem"):
        check_certificate(tmp_path / "c.pem", tmp_path / "c.pem")


def test_told_to_end_it_lets_nobody_in_and_ends_though_a_model_hangs(tmp_path: Path) -> None:
    async def ask_and_end(server: Server) -> None:
        async with Connection(server.port) as connection:
            connection.send("POST", "/predict", predict_body("deadly", ["hang"]))
            while await asyncio.to_thread(server.metric, "wait_seconds_count", "deadly:1") < 1:
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(wait_until, lambda: is_refused(server.port), "connections are refused")
            assert server.process.poll() is None, "it ended before it refused connections"

    settings = {"TANDEM_MODELS": DEADLY, "TANDEM_STOP_TIMEOUT_S": "4"}
    with serving(tmp_path / "home", settings, command=tandem_command) as server:
        every = processes_of(server.process.pid)
        asyncio.run(ask_and_end(server))
        assert server.process.wait(60) == 0
        assert all(map(is_gone, every))


@pytest.mark.parametrize("isolated", ["0", "1"])
def test_when_the_supervisor_is_killed_its_workers_end(tmp_path: Path, isolated: str) -> None:
    settings = {"TANDEM_MODELS": DEADLY, "TANDEM_ISOLATED": isolated}
    with serving(tmp_path / "home", settings, command=tandem_command) as server:
        workers = processes_of(server.process.pid)[1:]
        assert len(workers) >= 3 if isolated == "1" else workers
        assert "Traceback" not in server.log.read_text()
        psutil.Process(server.process.pid).kill()
        wait_until(lambda: all(map(is_gone, workers)), "the workers end")


def is_refused(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(5)
        return tried.connect_ex(("127.0.0.1", port)) == 111
