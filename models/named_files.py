"""What an artifact's files say of other files: these lie beside them, or the artifact is refused.

An ONNX graph may keep its weights in files that it names, an index of safetensors names its shards. Such a name could
lead out of the folder, past the digest, or, in ONNX Runtime's own notation, straight into memory.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

MIB = 1 << 20
#: A name as an artifact's files have it: of letters and signs that every file system takes, and not hidden.
PLAIN_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f:]{1,200}")
#: Of a safetensors file's header, as the library bounds it; and of an index.
MOST_HEADER_BYTES, MOST_INDEX_BYTES = 100_000_000, 64 * MIB

#: Messages of an ONNX file -> field -> the message in it. Others are passed over, whatever they hold.
#: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
#: A node of this kind holds, or names, what another machine compiled for its device.
COMPILED = b"EPContext"


class Damaged(Exception):
    """A file that is not what its name says."""


def is_plain_path(name: str) -> bool:
    """Whether a name leads to a file below the folder it is read in, and to one that the digest covers."""
    return all(PLAIN_NAME.fullmatch(part) for part in name.split("/"))


def find_fault(path: Path) -> str | None:
    """Why a file of an artifact is refused for what it holds; None where it is not, or is of no kind looked at here.

    Costs a search through the graphs' bytes; only those that name files are read message by message.
    """
    try:
        if path.suffix.casefold() == ".onnx":
            return graph_fault(path)
        if path.name.casefold().endswith(".safetensors.index.json"):
            return index_fault(path)
        if path.suffix.casefold() == ".safetensors":
            return weights_fault(path)
    except Damaged as error:
        return str(error)
    return None


def graph_fault(path: Path) -> str | None:
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        if body.find(COMPILED) < 0 and body.find(b"location") < 0:
            return None
        with memoryview(body) as view:
            for kind, name in walk_graph(view):
                if kind == "compiled":
                    return "a node of it (EPContext) is compiled code, which nobody can look through"
                if not PLAIN_NAME.fullmatch(name):
                    return f"it keeps weights in {name[:100]!r}, which is no file beside it"
    return None


def walk_graph(body: memoryview) -> Iterator[tuple[str, str]]:
    """Every ("location", file) of external weights in an ONNX model, and ("compiled", "") for such a node.

    Raises:
        Damaged: it is no ONNX model.
    """
    pending = [("model", body)]
    while pending:
        kind, message = pending.pop()
        inside, texts = MESSAGES[kind], {}
        for field, value in read_fields(message):
            if field in inside:
                pending.append((inside[field], value))
            elif (kind == "entry" and field in (1, 2)) or (kind == "node" and field == 4):
                texts[field] = bytes(value)
        if kind == "entry" and texts.get(1) == b"location":
            yield "location", texts.get(2, b"").decode("utf-8", "replace")
        if kind == "node" and texts.get(4) == COMPILED:
            yield "compiled", ""


def read_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a protobuf message that have a length, with their bytes; numbers are passed over.

    Raises:
        Damaged: a field ends behind the message, or is of no kind.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = read_varint(message, at)
        match tag & 7:
            case 0:
                _, at = read_varint(message, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case 2:
                size, at = read_varint(message, at)
                if size > end - at:
                    raise Damaged("it is no ONNX file: a field of it ends behind its end")
                yield tag >> 3, message[at : at + size]
                at += size
            case _:
                raise Damaged("it is no ONNX file: a field of it is of no kind that there is")
    if at > end:
        raise Damaged("it is no ONNX file: its last field is cut off")


def read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise Damaged("it is no ONNX file: a number in it does not end")


def index_fault(path: Path) -> str | None:
    if path.stat().st_size > MOST_INDEX_BYTES:
        return f"it is larger than {MOST_INDEX_BYTES // MIB} MiB"
    try:
        shards = set(map(str, json.loads(path.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "it is no index of safetensors"
    outside = sorted(name for name in shards if not PLAIN_NAME.fullmatch(name) or not name.endswith(".safetensors"))
    return f"it names {outside[0][:100]!r}, which is no safetensors file beside it" if outside else None


def weights_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(9)
    size = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:] != b"{" or size > min(MOST_HEADER_BYTES, path.stat().st_size - 8):
        return f"it is no safetensors file, but begins with {head[:4]!r} (a pickle by another name?)"
    return None
