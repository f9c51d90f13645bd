"""What goes into a bento: the models, and the packages of its image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel

from models.errors import ModelError
from models.locate import locate_model, zoo_folders
from models.store import save_model
from service.requirements import image_packages, is_tag, runtimes_of
from service.settings import Settings


def describe_image(root: Path, settings: Settings) -> bentoml.images.Image:
    """The image that `bentoml containerize` builds: nothing is locked here, since each package has its version."""
    image = bentoml.images.Image(python_version="3.11", lock_python_packages=False)
    return image.python_packages(*image_packages(root, runtimes_of(settings)))


class PackagedModel(BentoModel):
    """A model that a bento holds. One of the zoo comes into the store when it is first asked for."""

    @property
    def stored(self) -> Any:
        """The model in the store.

        Raises:
            BentoMLException: it is neither there nor in the zoo.
        """
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
