"""`python -m tests.fuzz`: so many examples an operation (FUZZ_EXAMPLES), with every check."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.fuzz.play import fuzz

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tandem-fuzz-") as folder:
        ended = fuzz(Path(folder), examples=int(os.environ.get("FUZZ_EXAMPLES", "500")), more=sys.argv[1:])
        print(ended.said)
        sys.exit(ended.code)
