"""Fits, saves and measures a recurrent classifier: what the zoo's recurrent models have in common."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.networks.recurrent import WEIGHTS_FILE, RecurrentClassifier, load_classifier
from models.networks.recurrent_config import CONFIG_FILE, RecurrentConfig, dump_config

#: Steps of numbers, (length, input_size) float32, or token ids, (length,) int64.
Sequences = Sequence[NDArray[Any]]


def fit_recurrent(
    config: RecurrentConfig,
    sequences: Sequences,
    answers: Sequence[str],
    *,
    epochs: int,
    rows: int,
    rate: float,
    noise: float = 0.0,
    budget_s: float = 600,
) -> RecurrentClassifier:
    """Train from scratch with AdamW, the learning rate rising and falling once; the same seed gives the same weights.

    Micro-batches hold `rows` sequences of similar length. `noise` is the deviation of what is added to steps of
    numbers. Printed for each epoch: the mean loss.

    Raises:
        TimeoutError: more than `budget_s` CPU seconds were needed.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small recurrent networks are slower on two threads than on one
    rng = np.random.default_rng(0)
    targets = torch.tensor([config.labels.index(answer) for answer in answers])
    model = RecurrentClassifier(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    total = epochs * -(-len(sequences) // rows)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=total, pct_start=0.2)
    for epoch in range(epochs):
        losses = []
        for picked in _batches_of_similar_length(sequences, rows, rng):
            inputs, lengths = _pad([sequences[i] for i in picked])
            if noise:
                inputs = inputs + noise * torch.randn(inputs.shape)
            loss = nn.functional.cross_entropy(model(inputs, lengths), targets[picked])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if time.process_time() > budget_s:
                raise TimeoutError(f"epoch {epoch + 1} of {epochs} was reached when {budget_s:.0f} CPU-s were spent")
        print(f"epoch {epoch + 1:3d}  loss {np.mean(losses):.4f}  {time.process_time():.0f} CPU-s", flush=True)
    return model.eval()


def save_recurrent(model: RecurrentClassifier, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write config.json and model.safetensors, readable by everybody."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(dump_config(model.config), encoding="utf-8")
    save_file({name: w.to(dtype).contiguous() for name, w in model.state_dict().items()}, folder / WEIGHTS_FILE)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (folder / name).chmod(0o644)  # safetensors writes 0600, which a container's user cannot read


def measure_accuracy(folder: Path, sequences: Sequences, answers: Sequence[str], *, data: str) -> float:
    """The accuracy of the folder as it was saved, printed and written to its accuracy.json."""
    model = load_classifier(folder)
    with torch.inference_mode():
        batches = [slice(start, start + 100) for start in range(0, len(sequences), 100)]
        found = torch.cat([model(*_pad(sequences[batch])).argmax(dim=1) for batch in batches])
    right = [model.config.labels[label] == answer for label, answer in zip(found.tolist(), answers, strict=True)]
    report = {"metric": "accuracy", "value": round(float(np.mean(right)), 4), "rows": len(right), "data": data}
    (folder / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "accuracy.json").chmod(0o644)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"accuracy {report['value']} on {len(right)} rows of {data}, {parameters} parameters")
    return float(np.mean(right))


def _batches_of_similar_length(sequences: Sequences, rows: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """All rows, in random micro-batches; within a window of 20 of them sorted by length, so that little is padded."""
    order, lengths = rng.permutation(len(sequences)), np.array([len(sequence) for sequence in sequences])
    windows = [order[start : start + 20 * rows] for start in range(0, len(order), 20 * rows)]
    ranked = [window[np.argsort(lengths[window], kind="stable")] for window in windows]
    batches = [window[start : start + rows] for window in ranked for start in range(0, len(window), rows)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _pad(sequences: Sequences) -> tuple[Tensor, Tensor]:
    tensors = [torch.from_numpy(sequence) for sequence in sequences]
    return pad_sequence(tensors, batch_first=True), torch.tensor([len(tensor) for tensor in tensors])
