"""The packages of the bento's image, by its models' variants, out of pyproject.toml and constraints.txt."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path

from models.artifact import VARIANTS
from models.errors import ModelError
from models.load import is_class_name
from models.locate import locate_model
from models.variants import VARIANT_FILE
from service.settings import Settings

#: What `bentoml build` itself takes, and the image does not.
BUILD_ONLY = frozenset({"uv"})


def image_packages(root: Path, runtimes: Collection[str]) -> list[str]:
    """The base installation, what serving takes, and what the runtimes need, as they were tested.

    BentoML's own reading of a pyproject.toml takes no extras and no constraints, and only a path relative to where
    one happens to stand.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ["serve", *(extra for extra in ("openvino", "torch") if extra in runtimes)]
    wanted = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    constraints = root / "constraints.txt"
    lines = constraints.read_text(encoding="utf-8").splitlines() if constraints.is_file() else []
    pins = {normal_name(line): line.partition("==")[2] for line in lines if "==" in line and not line.startswith("#")}
    named = {normal_name(line): line for line in wanted}
    return [f"{name}=={pins[name]}" if name in pins else line for name, line in named.items() if name not in BUILD_ONLY]


def normal_name(line: str) -> str:
    """A requirement's or pin's package, as the package index spells it."""
    return re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-")


def runtimes_of(settings: Settings) -> set[str]:
    """The runtimes that the server may take: the one that is set, or those that its models have variants of."""
    if settings.runtime != "auto":
        return {settings.runtime}
    found = {"onnx"}
    for name in filter(is_tag, settings.models):
        try:
            folder = locate_model(name).folder
        except ModelError:  # said when the model is asked for
            continue
        found |= {path.parent.name.partition("-")[0] for path in folder.glob(f"{VARIANTS}/*/{VARIANT_FILE}")}
    return found


def is_tag(name: str) -> bool:
    return not is_class_name(name) and "/" not in name and not name.startswith((".", "~"))
