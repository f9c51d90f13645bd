"""What goes into a bento: the models, and the packages of its image."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel
from bentoml.models import Model as StoredModel

from models.errors import ModelError
from models.load import is_class_name
from models.locate import locate_model, zoo_folders
from service.settings import Settings

PACKAGE = re.compile(r"[\w.-]+")
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
#: What `bentoml build` itself takes, and the image does not.
BUILD_ONLY = frozenset({"uv"})


def describe_image(root: Path, settings: Settings) -> bentoml.images.Image:
    """The image's packages: the base installation, what serving takes, and torch where that is the runtime.

    BentoML's own reading of a pyproject.toml takes no extras, and only a path relative to where one happens to stand.
    """
    image = bentoml.images.Image(python_version="3.11", lock_python_packages=False)
    return image.python_packages(*image_packages(root, settings.runtime))


def image_packages(root: Path, runtime: str) -> list[str]:
    """The requirements of pyproject.toml, each at the version that constraints.txt names, so at the one tested."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ["serve", "torch"] if runtime == "torch" else ["serve"]
    wanted = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    constraints = root / "constraints.txt"
    pins = dict(PIN.findall(constraints.read_text(encoding="utf-8"))) if constraints.is_file() else {}
    named = {PACKAGE.match(line)[0]: line for line in wanted}  # type: ignore[index]
    return [f"{name}=={pins[name]}" if name in pins else line for name, line in named.items() if name not in BUILD_ONLY]


class PackagedModel(BentoModel):
    """A model that a bento holds. One of the zoo comes into the store when it is first asked for."""

    @property
    def stored(self) -> StoredModel:
        """The model in the store.

        Raises:
            BentoMLException: it is neither there nor in the zoo.
        """
        from models.store import save_model  # imports bentoml's store: not before it is needed

        try:
            located = locate_model(str(self.tag))
            if located.folder in zoo_folders():
                save_model(located.folder, self.tag.name)
        except ModelError as error:
            raise BentoMLException(str(error)) from None
        return bentoml.models.get(f"{self.tag.name}:{located.version}")


def model_references(settings: Settings) -> list[PackagedModel]:
    """The models that a bento holds: those named by a tag. A folder or a class of the operator's own is none."""
    return [PackagedModel(name) for name in settings.models if is_tag(name)]


def is_tag(name: str) -> bool:
    return not is_class_name(name) and "/" not in name and not name.startswith((".", "~"))
