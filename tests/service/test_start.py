"""A server that cannot start says why in one line, and ends."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.service.client import Connection, Reply, predict_body
from tests.service.server import ROOT, Server, bentoml_command, environment, free_port, serving


def test_a_request_in_flight_when_the_server_is_told_to_stop_is_answered(tmp_path: Path) -> None:
    gate = tmp_path / "closed"
    settings = {"TANDEM_MODELS": "tests.service.models:GatedModel", "TANDEM_TEST_GATE": str(gate)}

    async def check(server: Server) -> Reply:
        async with Connection(server.port) as connection:
            connection.send("POST", "/predict", predict_body("gated", ["in flight"]))
            while await asyncio.to_thread(server.metric, "wait_seconds_count", "gated:1") < 1:
                await asyncio.sleep(0.01)
            server.process.terminate()
            await asyncio.sleep(0.5)
            gate.unlink()
            return await asyncio.wait_for(connection.read(), 60)

    with serving(tmp_path / "home", settings) as server:
        gate.touch()
        assert "label" in asyncio.run(check(server)).predictions[0]


def serve(home: Path, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = bentoml_command("serve", "--host", "127.0.0.1", "--port", str(free_port()))
    return subprocess.run(
        command, cwd=ROOT, env=environment(home, settings), capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"TANDEM_RUNTIME": "tensorrt"},
            "TANDEM_RUNTIME (--runtime)='tensorrt': expected one of auto, onnx, openvino, torch.",
        ),
        ({"TANDEM_MAX_QUEUE_ROWS": "many"}, "TANDEM_MAX_QUEUE_ROWS (--max-queue-rows)='many': expected a whole number"),
        ({"TANDEM_MODELS": "no-such-model"}, "No model 'no-such-model': looked in the model store"),
        ({"TANDEM_MODELS": "vowels-bilstm,vowels-bilstm:latest"}, "expected vowels-bilstm:"),
        ({"TANDEM_MODELS": "./no/such/folder"}, "No model './no/such/folder': looked in the folder"),
        ({"TANDEM_MODELS": "tests.service.models:Nobody"}, "tests.service.models, which has no Nobody"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line_and_the_exit_code_is_not_0(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    ended = serve(tmp_path / "home", {"TANDEM_MODELS": "tests.service.models:LetterModel"} | settings)
    assert ended.returncode != 0
    assert said in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
