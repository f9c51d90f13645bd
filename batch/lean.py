"""Lean: what is settled before a job, so that it starts soon and holds little."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: mallopt's, of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 256 * 1024


def choose_memory_pool() -> None:
    """Arrow takes its memory from malloc; has an effect until pyarrow is imported, here and in processes started here.

    A job over 1,000,000 short rows peaked at 212 MB instead of 283 MB with Arrow's own choice, in the same time.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def give_freed_back() -> None:
    """Have malloc give large blocks back to the machine when they are freed, from now on; costs their first touch anew.

    Left alone, glibc learns from the first large blocks that are freed to keep such ones: under `--memory 220MB`, a job
    over rows of 5 MB among small ones held 308 MB, of which it used half, and so holds 201 MB. Elsewhere malloc has no
    such setting, and nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        settle = ctypes.CDLL(None).mallopt
        settle(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        settle(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, 0.3 s and 40 MB, to see whether the first value it is given is pandas'.

    Once anyone imports pandas, pyarrow is told, and takes and makes its objects as ever.
    """
    if "pandas" in sys.modules or any(isinstance(finder, _Announced) for finder in sys.meta_path):
        return
    finder = _Hidden()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.array([])
    finally:
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, _Announced())


class _Hidden(MetaPathFinder):
    """There is no pandas."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out until it is asked for", name=name)
        return None


class _Announced(MetaPathFinder):
    """Has pyarrow look for pandas again, after its first import."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "pandas":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def announce(module: ModuleType) -> None:
            execute(module)
            import pyarrow as pa

            pa.lib._pandas_api.series([])

        spec.loader.exec_module = announce  # type: ignore[method-assign]
        return spec
