"""Trains vowels-bilstm: which of nine speakers says a vowel, from 12 coefficients for each of its 7 to 29 frames.

    OMP_NUM_THREADS=1 python -m models.zoo.train_vowels_bilstm

writes `vowels-bilstm/` and `data/vowels.parquet`. It printed: accuracy 0.9838 on 370 rows of JapaneseVowels test,
41097 parameters (8 CPU-s). Read-out, noise and epochs were chosen on thirds of the training set.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.networks.recurrent_config import Normalize, RecurrentConfig
from models.zoo.fetch import fetch_wheel
from models.zoo.fit_recurrent import fit_recurrent, measure_accuracy, save_recurrent

WHEEL = ("sktime", "1.2.0", "dbffc6731d2d683b668dceb5e2bbc5804bebc8446b4c580803a281684d90e4ae")
MEMBER = "sktime/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"
ZOO = Path(__file__).parent
SPEAKERS = tuple(f"speaker-{number}" for number in range(1, 10))


def read_vowels(split: Literal["TRAIN", "TEST"]) -> tuple[list[NDArray[np.float32]], list[str]]:
    """The official split: each row's steps, (length, 12), and its speaker."""
    with zipfile.ZipFile(fetch_wheel(*WHEEL)) as wheel:
        lines = wheel.read(MEMBER.format(split)).decode().splitlines()
    # One row a line: the series of each coefficient, between colons, then the class.
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    steps = [np.array([series.split(",") for series in row[:-1]], dtype=np.float32).T.copy() for row in rows]
    return steps, [f"speaker-{row[-1].strip()}" for row in rows]


def write_test_set(path: Path) -> None:
    """Write the official test set as Parquet: id, steps, speaker."""
    steps, speakers = read_vowels("TEST")
    columns = {
        "id": pa.array(range(len(steps)), pa.int64()),
        "steps": pa.array([row.tolist() for row in steps], pa.list_(pa.list_(pa.float32()))),
        "speaker": pa.array(speakers, pa.string()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)


def main() -> None:
    """Train, save, measure on the official test set, and write that as Parquet."""
    steps, speakers = read_vowels("TRAIN")
    frames = np.concatenate(steps).astype(np.float64)
    config = RecurrentConfig(
        cell="lstm",
        input_size=12,
        hidden_size=64,
        bidirectional=True,
        readout="last",
        labels=SPEAKERS,
        normalize=Normalize(mean=tuple(frames.mean(axis=0).tolist()), std=tuple(frames.std(axis=0).tolist())),
    )
    assert config.normalize is not None
    normalized = [config.normalize.apply(row) for row in steps]
    model = fit_recurrent(config, normalized, speakers, epochs=60, rows=16, rate=5e-3, noise=0.5)
    folder = ZOO / "vowels-bilstm"
    save_recurrent(model, folder)
    test_steps, test_speakers = read_vowels("TEST")
    test = [config.normalize.apply(row) for row in test_steps]
    measure_accuracy(folder, test, test_speakers, data="JapaneseVowels test")
    write_test_set(ZOO / "data" / "vowels.parquet")


if __name__ == "__main__":
    main()
