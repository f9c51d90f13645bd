"""This host, as far as what was measured on it depends on it: its fingerprint, and where measurements are kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.locate import cache_home

#: Another version of these computes at another speed.
ARITHMETIC = ("numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch")


@functools.cache
def host_fingerprint() -> str:
    """Twelve letters over the processor, the cores that this process may use, and the versions of what computes."""
    facts = [platform.machine(), processor_name(), str(len(os.sched_getaffinity(0)))]
    for package in ARITHMETIC:
        with contextlib.suppress(PackageNotFoundError):
            facts.append(f"{package} {version(package)}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def processor_name() -> str:
    """The model and the abilities of the processor, as Linux tells them; what Python knows elsewhere."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("vendor_id", "cpu family", "model", "model name", "flags", "Features")
        pairs = (line.split("\t", 1) for line in reversed(lines) if "\t" in line)
        facts = {name: value for name, value in pairs if name in wanted}
        if facts:
            return "; ".join(f"{name}{facts[name]}" for name in sorted(facts))
    return platform.processor()


def measurements(kind: str, key: str) -> Path:
    """The file for what was measured here: of a kind (`costs`, ...), under a key such as a variant's digest.

    It lies under `$TANDEM_MEASURED`, else in the cache.
    """
    home = os.environ.get("TANDEM_MEASURED")
    return (Path(home) if home else cache_home() / "measured") / host_fingerprint() / kind / f"{key}.json"


def recall(kind: str, key: str) -> Any:
    """What was measured on this host; None where nothing was, or where the file cannot be read."""
    try:
        return json.loads(measurements(kind, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def remember(kind: str, key: str, content: Any) -> None:
    """Keep what was measured. The file appears whole, by rename; of two writers the last counts.

    A cache that cannot be written is no error: what was measured is measured again.
    """
    path = measurements(kind, key)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(content), encoding="utf-8")
        scratch.replace(path)
