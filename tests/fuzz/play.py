"""A server with keys, small models and a folder for jobs, and schemathesis against it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.door.key_file import KeyFile, StoredKey, change_key_file, hash_key, make_key
from tests.service.server import ROOT, serving

HERE = Path(__file__).parent
#: Texts, an embedding, sequences and images.
MODELS = (
    *(f"tests.service.models:{name}" for name in ("LetterModel", "PoisonModel", "EmbeddingModel")),
    "vowels-bilstm",
    "fashion-resnet",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run of schemathesis ended, and what it and the server said."""

    code: int
    said: str
    log: str


def fuzz(folder: Path, *, examples: int, seed: int | None = None, more: Sequence[str] = ()) -> Ended:
    """Ask a server of its own, whose keys, models and jobs are all in `folder`."""
    (folder / "rows").mkdir()
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(100)]}), folder / "rows" / "in.parquet")
    key = make_key()
    stored = StoredKey(name="fuzz", sha256=hash_key(key), scopes=["predict", "jobs", "admin"])
    change_key_file(folder / "keys.json", lambda found: KeyFile(keys=[*found.keys, stored]))
    settings = {
        "TANDEM_MODELS": ",".join(MODELS),
        "TANDEM_KEYS": str(folder / "keys.json"),
        "TANDEM_JOBS_ALLOW": str(folder / "rows"),
        "TANDEM_JOBS_QUEUE": "100000",
    }
    with serving(folder / "home", settings) as server:
        command = [
            str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"), "run",
            f"http://127.0.0.1:{server.port}/docs.json",
            "--header", f"Authorization:Bearer {key}",
            "--max-examples", str(examples), "--workers", "2", "--request-timeout", "60",
            "--no-color",
            *(() if seed is None else ("--seed", str(seed))), *more,
        ]  # fmt: skip
        variables = {
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(ROOT),
            "FUZZ_ROWS": str(folder / "rows"),
        }
        ended = subprocess.run(
            command, cwd=folder, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Ended(code=ended.returncode, said=ended.stdout, log=server.log.read_text())
