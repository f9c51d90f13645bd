"""The zoo's recurrent models, as committed: as accurate as their accuracy.json says, in torch and as ONNX graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from models.networks.recurrent import load_classifier
from models.networks.recurrent_config import read_config
from models.networks.recurrent_onnx import write_recurrent_onnx

ZOO = Path(__file__).parents[2] / "models" / "zoo"

# Written for this test: none of them is in the data that the model was trained on.
SENTENCES = {
    "cs": "Zítra ráno pojedeme vlakem do hor a budeme tam celý týden.",
    "de": "Morgen früh fahren wir mit dem Zug in die Berge und bleiben eine Woche dort.",
    "en": "Tomorrow morning we take the train to the mountains and stay there for a week.",
    "eo": "Morgaŭ matene ni veturos per trajno al la montoj kaj restos tie dum unu semajno.",
    "es": "Mañana por la mañana vamos en tren a las montañas y nos quedamos allí una semana.",
    "it": "Domani mattina prendiamo il treno per le montagne e restiamo lì una settimana.",
    "pl": "Jutro rano jedziemy pociągiem w góry i zostajemy tam przez cały tydzień.",
    "pt": "Amanhã de manhã vamos de trem para as montanhas e ficamos lá uma semana.",
    "ru": "Завтра утром мы поедем на поезде в горы и останемся там на неделю.",
}


def answer(folder: Path, sequences: list[NDArray[Any]], path: Path) -> list[str]:
    """The labels that torch and the graph agree on, having answered the padded sequences within 1e-5."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    inputs = np.zeros((len(sequences), lengths.max(), *sequences[0].shape[1:]), dtype=sequences[0].dtype)
    for row, sequence in enumerate(sequences):
        inputs[row, : len(sequence)] = sequence
    write_recurrent_onnx(read_config(folder), load_file(folder / "model.safetensors"), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"inputs": inputs, "lengths": lengths})
    with torch.inference_mode():
        expected = load_classifier(folder)(torch.from_numpy(inputs), torch.from_numpy(lengths)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=0)
    return [read_config(folder).labels[label] for label in logits.argmax(axis=1)]


def test_vowels_are_told_as_accurately_as_was_printed(tmp_path: Path) -> None:
    table = pq.read_table(ZOO / "data" / "vowels.parquet")
    normalize = read_config(ZOO / "vowels-bilstm").normalize
    assert normalize is not None
    steps = [normalize.apply(np.array(row, dtype=np.float32)) for row in table["steps"].to_pylist()]
    found = answer(ZOO / "vowels-bilstm", steps, tmp_path / "model.onnx")
    printed = json.loads((ZOO / "vowels-bilstm" / "accuracy.json").read_text(encoding="utf-8"))
    assert printed["rows"] == table.num_rows == 370
    assert np.mean(np.array(found) == table["speaker"].to_numpy()) == pytest.approx(printed["value"], abs=1 / 370)


def test_languages_of_plain_sentences_are_told(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(ZOO / "language-bigru" / "tokenizer.json"))
    ids = [np.array(tokenizer.encode(sentence).ids, dtype=np.int64) for sentence in SENTENCES.values()]
    assert answer(ZOO / "language-bigru", ids, tmp_path / "model.onnx") == list(SENTENCES)


def test_characters_never_seen_are_unknown_tokens_within_the_vocabulary() -> None:
    tokenizer = Tokenizer.from_file(str(ZOO / "language-bigru" / "tokenizer.json"))
    vocab_size = read_config(ZOO / "language-bigru").vocab_size
    assert tokenizer.get_vocab_size() == vocab_size
    assert tokenizer.encode(" \n\tŌ\u2028漢字 😀\u0000é ").tokens == [
        "[UNK]",
        " ",
        "[UNK]",
        "[UNK]",
        " ",
        "[UNK]",
        "[UNK]",
        "é",
    ]
    assert tokenizer.encode(" \n\t ").ids == []


@pytest.mark.parametrize("name", ["vowels-bilstm", "language-bigru"])
def test_artifact_is_readable_by_everybody_and_small_with_its_graph(name: str, tmp_path: Path) -> None:
    files = [file for file in (ZOO / name).iterdir() if file.suffix != ".onnx"]
    assert [file.name for file in files if file.stat().st_mode & 0o044 != 0o044] == []
    config, weights = read_config(ZOO / name), load_file(ZOO / name / "model.safetensors")
    write_recurrent_onnx(config, weights, tmp_path / "model.onnx")
    assert sum(file.stat().st_size for file in [*files, tmp_path / "model.onnx"]) < 2_000_000
