"""The README's picture: `python -m tests.service.ui.picture` writes docs/page.png in a minute and a half."""

from __future__ import annotations

import io
import random
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from tests.service.client import predict
from tests.service.server import ROOT, serving
from tests.service.ui.browser import browsing

MODELS = "bbc-bert,language-bigru,vowels-bilstm"
SIZE = (900, 860)
LOADED_S, CALLERS = 75, 12
WORDS = (
    *("the", "minister", "scored", "a", "new", "phone", "as", "shares", "fell", "and", "the", "film", "opened"),
    *("before", "the", "final", "whistle", "in", "Paris"),
)


def main() -> None:
    """Serve, ask for a while as several callers do, and take two pictures."""
    stopped = threading.Event()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "home", {"TANDEM_MODELS": MODELS}) as server:
        callers = [threading.Thread(target=call, args=(server.port, stopped, seed)) for seed in range(CALLERS)]
        with browsing(f"http://127.0.0.1:{server.port}") as browser:
            browser.size(*SIZE)
            browser.prefer(scheme="light")
            browser.open("#try/bbc-bert")
            browser.find("#try-form textarea")
            browser.click("#try-example")
            browser.click("#try-send")
            browser.find(".answer")
            tried = browser.take(whole=False)
            for caller in callers:
                caller.start()
            browser.prefer(scheme="dark")
            browser.open("#load")
            time.sleep(LOADED_S)
            loaded = browser.take(whole=False)
            stopped.set()
            for caller in callers:
                caller.join()
    windows = [Image.open(io.BytesIO(taken)).convert("RGB") for taken in (tried, loaded)]
    both = Image.new("RGB", (2 * SIZE[0], SIZE[1]))
    for place, window in enumerate(windows):
        both.paste(window, (place * SIZE[0], 0))
    both.save(ROOT / "docs" / "page.png", optimize=True)


def call(port: int, stopped: threading.Event, seed: int) -> None:
    """One caller after the other's pattern: busy, then quiet, with texts of every length."""
    dice = random.Random(seed)
    steps = pq.read_table(ROOT / "models" / "zoo" / "data" / "vowels.parquet")["steps"].to_pylist()
    began = time.monotonic()
    while not stopped.is_set():
        busy = 1 + int(time.monotonic() - began) // 12 % 3
        text = " ".join(dice.choices(WORDS, k=int(dice.lognormvariate(3, 0.9)) + 1))
        sequences = dice.choices(steps, k=4)
        model, rows = dice.choice(
            [("bbc-bert", [text] * busy), ("language-bigru", [text]), ("vowels-bilstm", sequences)]
        )
        predict(port, model, rows)
        stopped.wait(dice.expovariate(2 * busy))


if __name__ == "__main__":
    main()
