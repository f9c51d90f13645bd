"""An image in memory -> the numbers that a network takes, to the bit as transformers' PIL image processors do it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import SpecInvalid
from models.spec import EDGE, Preprocess

#: From this size on ConvNeXT's processor warps to a square instead of cropping one.
WARPS_FROM = 384


#: Pixels whose levels are held as 64-bit numbers at once.
STRIP_PIXELS = 1 << 20


class LevelsNotFinite(Exception):
    """A level of an image is no number, or infinite."""


class ImageTooLarge(Exception):
    """Resizing by the shortest edge would make more pixels than Pillow's MAX_IMAGE_PIXELS."""


def check_preprocess(preprocess: Preprocess, *, where: str) -> None:
    """See that mean and std fit the mode.

    Raises:
        SpecInvalid: they have another number of entries than the image has channels, or a std is 0.
    """
    channels = Image.getmodebands(preprocess.mode)
    for name in ("mean", "std"):
        numbers = getattr(preprocess, name)
        if numbers is not None and len(numbers) not in (1, channels):
            raise SpecInvalid(
                where, f"preprocess.{name} has {len(numbers)} numbers, mode {preprocess.mode!r} has {channels} channels"
            )
    if preprocess.std is not None and 0 in preprocess.std:
        raise SpecInvalid(where, "preprocess.std must not hold 0")


def image_to_pixels(image: Image.Image, preprocess: Preprocess) -> NDArray[np.float32]:
    """Convert, resize, crop, rescale and normalise, in this order.

    Returns:
        float32 of shape (channels, height, width).

    Raises:
        ImageTooLarge: see there.
    """
    image = convert_mode(image, preprocess.mode)
    size = resized_size(image.height, image.width, preprocess)
    if size is not None and size != (image.height, image.width):
        image = image.resize((size[1], size[0]), Image.Resampling(preprocess.resample))
    pixels = np.asarray(image)
    for crop in (square_of(preprocess), preprocess.crop):
        if crop is not None:
            pixels = crop_centre(pixels, *crop)
    return scale_levels(pixels.reshape(*pixels.shape[:2], -1), preprocess)


def convert_mode(image: Image.Image, mode: str) -> Image.Image:
    """To RGB or L. Alpha is dropped, as transformers does; 16-bit greys keep their upper 8 bits."""
    if image.mode == mode:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray(in_strips(image, lambda part: part.astype(np.int64).clip(0, 65535) >> 8))
    elif image.mode == "F":
        highest = np.asarray(image).max()  # NaN where any level is
        if not np.isfinite(highest):
            raise LevelsNotFinite(f"expected levels that are numbers, found {highest}")
        scale = 255.0 if highest <= 1 else 1.0
        image = Image.fromarray(in_strips(image, lambda part: np.rint(part.astype(np.float64) * scale).clip(0, 255)))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert(mode)


def in_strips(image: Image.Image, to_bytes: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.uint8]:
    """An image's levels as bytes, a few rows after another: wide numbers of a large image are never held whole."""
    levels = np.asarray(image)
    found = np.empty(levels.shape, np.uint8)
    step = max(1, STRIP_PIXELS // max(levels.shape[1], 1))
    for row in range(0, len(levels), step):
        found[row : row + step] = to_bytes(levels[row : row + step])
    return found


def resized_size(height: int, width: int, preprocess: Preprocess) -> tuple[int, int] | None:
    """(height, width) to resize to; None where the image keeps its size.

    Raises:
        ImageTooLarge: the shortest edge is so short that the other one would be beyond all bounds.
    """
    size, crop_pct = preprocess.resize, preprocess.crop_pct
    if size is None:
        return None
    if crop_pct is not None:
        if isinstance(size, int) and size >= WARPS_FROM:
            return size, size
        size = int(size / crop_pct) if isinstance(size, int) else (int(size[0] / crop_pct), int(size[1] / crop_pct))
    if not isinstance(size, int):
        return size
    longest = int(size * max(height, width) / min(height, width))
    if Image.MAX_IMAGE_PIXELS is not None and size * longest > Image.MAX_IMAGE_PIXELS:
        raise ImageTooLarge(
            f"{width} x {height} pixels resized to a shortest edge of {size} would be more than the "
            f"{Image.MAX_IMAGE_PIXELS} pixels that Pillow's MAX_IMAGE_PIXELS allows"
        )
    return (longest, size) if width <= height else (size, longest)


def square_of(preprocess: Preprocess) -> tuple[int, int] | None:
    """What `crop_pct` crops to, after having resized to more than that."""
    size = preprocess.resize
    if preprocess.crop_pct is None or size is None:
        return None
    if isinstance(size, int):
        return (size, size) if size < WARPS_FROM else None
    return size


def crop_centre(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Crop the middle of (height, width, ...) levels; what is smaller is padded with zeros, the odd one in front."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    if top >= 0 and left >= 0:
        return pixels[top : top + height, left : left + width]
    before_y, before_x = max(-top, 0), max(-left, 0)
    framed = np.zeros((height, width, *pixels.shape[2:]), dtype=pixels.dtype)
    inner = pixels[max(top, 0) : max(top, 0) + height, max(left, 0) : max(left, 0) + width]
    framed[before_y : before_y + inner.shape[0], before_x : before_x + inner.shape[1]] = inner
    return framed


def scale_levels(pixels: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """(height, width, channels) of 256 levels to (channels, height, width): each level is looked up, not computed."""
    height, width, channels = pixels.shape
    table = level_table(channels, preprocess.rescale, preprocess.mean, preprocess.std)
    scaled = np.empty((channels, height, width), dtype=np.float32)
    for channel in range(channels):
        scaled[channel] = table[channel][pixels[:, :, channel]]
    return scaled


@lru_cache(maxsize=32)
def level_table(
    channels: int, rescale: float | None, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> NDArray[np.float32]:
    """What each of the 256 levels becomes, (channels, 256); the same roundings as transformers: double, then float."""
    levels = (np.arange(256, dtype=np.float64) * (1.0 if rescale is None else rescale)).astype(np.float32)
    table = np.broadcast_to(levels, (channels, 256))
    if mean is not None or std is not None:
        table = (table - _column(mean or (0.0,))) / _column(std or (1.0,))
    return np.ascontiguousarray(table, dtype=np.float32)


def _column(numbers: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(numbers, dtype=np.float32)[:, None]


def image_size(preprocess: Preprocess) -> tuple[int, int] | None:
    """(height, width) of every image after preprocessing; None where only the shortest edge is set."""
    if preprocess.crop is not None:
        return preprocess.crop
    return preprocess.resize if isinstance(preprocess.resize, tuple) else None


def image_shape(preprocess: Preprocess) -> tuple[int, int, int]:
    """(channels, height, width) of an example."""
    edge = preprocess.resize if isinstance(preprocess.resize, int) else EDGE
    return (1 if preprocess.mode == "L" else 3, *(image_size(preprocess) or (edge, edge)))
