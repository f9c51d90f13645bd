"""How the runtimes, and what they stand on, say that memory ran out: by a dozen types, and so by their words."""

from __future__ import annotations

#: In lower case: of malloc and C++, ONNX Runtime's arena, CUDA, cuBLAS and cuDNN, torch, and OpenVINO.
MEMORY_WORDS = (
    "bad_alloc",
    "bad allocation",
    "failed to allocate",
    "failed to alloc memory",
    "could not allocate",
    "cannot allocate memory",
    "can't alloc",
    "available memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "memoryallocation",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library's error means that something did not fit into memory, of the host or of a GPU."""
    return isinstance(error, MemoryError) or any(word in str(error).casefold() for word in MEMORY_WORDS)
