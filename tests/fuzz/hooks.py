"""What schemathesis is helped with: half of the requests name a model that is there."""

from __future__ import annotations

import json
import zlib
from typing import Any

import schemathesis

MODELS = ("letters", "letters:1", "poison")


@schemathesis.hook  # type: ignore[untyped-decorator]
def map_body(context: Any, body: Any) -> Any:
    """Name a model that is served, in one request of two."""
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        chance = zlib.crc32(json.dumps(body, sort_keys=True, default=str).encode())
        if context.operation.path == "/models/unload":
            body["model"] = "poison:1"  # a server without any model is not ready, and says so
        elif chance % 2:
            body["model"] = MODELS[chance // 2 % len(MODELS)]
    return body
