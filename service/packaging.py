"""What goes into a bento: the models, and the packages of its image."""

from __future__ import annotations

import tomllib
from pathlib import Path

import bentoml

from models.load import is_class_name
from service.settings import Settings


def describe_image(root: Path, settings: Settings) -> bentoml.images.Image:
    """The image's packages: the base installation, what serving takes, and torch where that is the runtime.

    BentoML's own reading of a pyproject.toml takes no extras, and only a path relative to where one happens to stand.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ["serve", "torch"] if settings.runtime == "torch" else ["serve"]
    packages = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return bentoml.images.Image(python_version="3.11", lock_python_packages=False).python_packages(*packages)


def model_references(settings: Settings) -> list[bentoml.models.BentoModel]:
    """The models that a bento holds: those named by a tag. A folder or a class of the operator's own is none."""
    return [bentoml.models.BentoModel(name) for name in settings.models if is_tag(name)]


def is_tag(name: str) -> bool:
    return not is_class_name(name) and "/" not in name and not name.startswith((".", "~"))
