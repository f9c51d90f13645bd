"""The bento that the server runs from, where it runs from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: The folder that holds the rooms: the repository, or the src/ of a bento.
ROOT = Path(__file__).resolve().parent.parent


def models_of_bento(root: Path = ROOT) -> tuple[str, ...]:
    """The tags of the models that the bento was built with; none where `root` is not the src/ of a bento."""
    path = root.parent / "bento.yaml"
    if root.name != "src" or not path.is_file():
        return ()
    bento: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = list(bento.get("models") or [])
    for service in bento.get("services") or []:
        found += service.get("models") or []
    return tuple(dict.fromkeys(str(model["tag"]) for model in found))
