"""A Hugging Face preprocessor_config.json -> Preprocess: the same steps, without transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import SpecInvalid, UnsupportedTask
from models.spec import Preprocess
from models.tokenizer import read_json

PREPROCESSOR_FILE = "preprocessor_config.json"
STANDARD = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BILINEAR, BICUBIC = 2, 3
#: From this size on, ConvNeXT's processor warps the whole image and crops nothing.
CONVNEXT_WARPS_FROM = 384


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """What one of transformers' image processors does where the folder does not say."""

    size: Any
    crop: int | None = None
    square: bool = True
    resample: int = BICUBIC
    mean: tuple[float, ...] = STANDARD
    std: tuple[float, ...] = STANDARD
    crop_pct: float | None = None


PROCESSORS: Mapping[str, Processor] = {
    "Beit": Processor(size=224),
    "Bit": Processor(size=224, crop=224, square=False, mean=CLIP_MEAN, std=CLIP_STD),
    "CLIP": Processor(size=224, crop=224, square=False, mean=CLIP_MEAN, std=CLIP_STD),
    "ConvNext": Processor(size=384, square=False, crop_pct=224 / 256),
    "DeiT": Processor(size=256, crop=224),
    "EfficientNet": Processor(size=346),
    "Levit": Processor(size=224, crop=224, square=False, mean=IMAGENET_MEAN, std=IMAGENET_STD),
    "MobileNetV1": Processor(size=256, crop=224, square=False, resample=BILINEAR),
    "MobileNetV2": Processor(size=256, crop=224, square=False, resample=BILINEAR),
    "PoolFormer": Processor(size=224, crop=224, square=False, mean=IMAGENET_MEAN, std=IMAGENET_STD, crop_pct=0.9),
    "Pvt": Processor(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
    "Siglip": Processor(size=224),
    "ViT": Processor(size=224, resample=BILINEAR),
}


def detect_preprocess(folder: Path) -> Preprocess:
    """Read how the folder wants its images.

    One key is ours: `"image_mode": "L"` for networks of one channel, which transformers' processors do not know.

    Raises:
        SpecInvalid: the file is missing, or a size in it is of no known form.
        UnsupportedTask: a processor whose steps Preprocess cannot say, by its name.
    """
    path = folder / PREPROCESSOR_FILE
    if not path.is_file():
        raise SpecInvalid(
            str(folder), f"has no {PREPROCESSOR_FILE}", remedy="AutoImageProcessor's save_pretrained writes one."
        )
    settings = read_json(path)
    name = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", name)
    if kind not in PROCESSORS:
        raise UnsupportedTask(str(path), task=f"image processor {name!r}", supported=sorted(PROCESSORS))
    processor = PROCESSORS[kind]
    resize, crop = detect_sizes(settings, processor, kind, where=str(path))
    rescale, mean, std = detect_scale(settings, processor, kind)
    return Preprocess.model_validate(
        {
            "mode": settings.get("image_mode", "RGB"),
            "resize": resize,
            "resample": settings.get("resample", processor.resample),
            "crop": crop,
            "rescale": rescale,
            "mean": mean,
            "std": std,
        }
    )


def detect_sizes(
    settings: Mapping[str, Any], processor: Processor, kind: str, *, where: str
) -> tuple[tuple[int, int] | int | None, tuple[int, int] | None]:
    """Resize and crop; what ConvNeXT, LeViT and PoolFormer resize to beyond the size they name is worked out here."""
    resize = read_size(settings.get("size", processor.size), square=processor.square, where=where)
    crop = read_size(settings.get("crop_size", processor.crop), square=True, where=where)
    crop = (crop, crop) if isinstance(crop, int) else crop
    if not settings.get("do_center_crop", processor.crop is not None):
        crop = None
    if not settings.get("do_resize", True):
        return None, crop
    share = float(settings.get("crop_pct") or processor.crop_pct or 1)
    if kind == "ConvNext" and isinstance(resize, int):
        if resize >= CONVNEXT_WARPS_FROM:
            return (resize, resize), crop
        return int(resize / share), (resize, resize)
    if kind == "Levit" and isinstance(resize, int):
        return int(256 / 224 * resize), crop
    if kind == "PoolFormer" and isinstance(resize, int):
        return int(resize / share), crop
    return resize, crop


def read_size(size: Any, *, square: bool, where: str) -> tuple[int, int] | int | None:
    """A size in any of the forms it has had: 224, {"height": .., "width": ..}, {"shortest_edge": ..}, [.., ..].

    Returns:
        (height, width), the shortest edge, or None.
    """
    if size is None:
        return None
    if isinstance(size, int):
        return (size, size) if square else size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, dict) and size.keys() == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    if isinstance(size, dict) and size.keys() == {"shortest_edge"}:
        return int(size["shortest_edge"])
    raise SpecInvalid(where, f'expected a size as 224, {{"height", "width"}} or {{"shortest_edge"}}, found {size}')


def detect_scale(
    settings: Mapping[str, Any], processor: Processor, kind: str
) -> tuple[float | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """Rescale factor, mean and deviation.

    EfficientNet's processor subtracts 1 where `rescale_offset` is set, and divides by the deviation twice where
    `include_top` is: both are folded into mean and deviation.
    """
    rescale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else None
    if not settings.get("do_normalize", True):
        mean, std = None, None
    else:
        mean = as_tuple(settings.get("image_mean") or processor.mean)
        std = as_tuple(settings.get("image_std") or processor.std)
    if kind == "EfficientNet":
        given = as_tuple(settings.get("image_std") or processor.std)
        if settings.get("rescale_offset", False):
            mean = tuple(value + 1 for value in mean or (0.0,) * len(given))
            std = std or (1.0,) * len(given)
        if settings.get("include_top", True):
            mean = mean or (0.0,) * len(given)
            std = tuple(once * again for once, again in zip(std or (1.0,) * len(given), given, strict=True))
    return rescale, mean, std


def as_tuple(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else (float(value),)
