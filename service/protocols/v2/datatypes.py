"""The protocol's datatypes, and what they are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

BYTES: Final = "BYTES"
#: Datatype -> numpy's, little-endian as on the wire.
NUMPY: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
#: What a model's configuration calls them.
CONFIG_TYPES: Mapping[str, str] = {name: f"TYPE_{name}" for name in NUMPY} | {BYTES: "TYPE_STRING"}
