"""The environments of the peers, made once from pinned requirements; what does not install is said with pip's reason.

    python -m benchmarks.environments

They exclude one another: sentence-transformers' ONNX backend wants transformers 4, its newest release 5, Infinity
numpy 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Name in the tables -> folder under the repository's root; its requirements are benchmarks/requirements/NAME.txt.
FOLDERS: Mapping[str, str] = {
    "peers": ".venv-bench",
    "backends": ".venv-bench-backends",
    "infinity": ".venv-bench-infinity",
    "serving": ".venv-bench-serving",
}
PIP = "pip==26.3"
TIMEOUT_S = 1800
REASON = "reason.txt"


def python_of(environment: str) -> Path:
    """The interpreter of an environment; `tandem` is the one that runs this."""
    return Path(sys.executable) if environment == "tandem" else ROOT / FOLDERS[environment] / "bin" / "python"


def missing(environment: str) -> str | None:
    """Why an environment cannot be used; None where it can."""
    if environment == "tandem":
        return None
    folder = ROOT / FOLDERS[environment]
    if (folder / REASON).is_file():
        return (folder / REASON).read_text().strip()
    if not (folder / "installed").is_file() or stale(environment):
        return f"{folder.name} is not made yet: python -m benchmarks.environments"
    return None


def stale(environment: str) -> bool:
    """Whether the environment was made from other requirements."""
    stamp = ROOT / FOLDERS[environment] / "installed"
    return not stamp.is_file() or stamp.read_text() != requirements(environment).read_text()


def requirements(environment: str) -> Path:
    return Path(__file__).parent / "requirements" / f"{environment}.txt"


def make(environment: str) -> str | None:
    """Make an environment, or leave it as it is where it is of these requirements; returns pip's reason on failure."""
    folder, wanted = ROOT / FOLDERS[environment], requirements(environment)
    if not stale(environment):
        return None
    python = folder / "bin" / "python"
    torch = next(line for line in wanted.read_text().splitlines() if line.startswith("torch=="))
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    steps = [[*install, PIP], [*install, torch], [*install, "-r", str(wanted)]]
    if not python.is_file():
        steps.insert(0, [sys.executable, "-m", "venv", str(folder)])
    quiet = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=TIMEOUT_S, env=quiet)
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = (lines or ["pip ended without a reason"])[-1] if done.returncode else None
        except subprocess.TimeoutExpired:
            reason = f"pip took longer than {TIMEOUT_S} s"
        if reason is not None:
            folder.mkdir(exist_ok=True)
            (folder / REASON).write_text(reason + "\n")
            return reason
    (folder / REASON).unlink(missing_ok=True)
    (folder / "installed").write_text(wanted.read_text())
    return None


def main() -> None:
    for environment, folder in FOLDERS.items():
        print(f"{folder}: {make(environment) or 'installed'}", flush=True)


if __name__ == "__main__":
    main()
