"""RecurrentClassifier: the recurrent network in torch, the original that the ONNX graph is checked against."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from models.errors import SpecInvalid
from models.networks.recurrent_config import RecurrentConfig, check_weights, read_config

WEIGHTS_FILE = "model.safetensors"


class RecurrentClassifier(nn.Module):
    """An RNN, LSTM or GRU over steps of numbers or token ids, and a linear head over what it has read.

    Sequences are packed: the steps behind a row's length are never looked at, so neither padding nor the other rows
    of a micro-batch change its answer.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = None if config.vocab_size is None else nn.Embedding(config.vocab_size, config.input_size)
        self.rnn = _cell(config)
        self.head = nn.Linear(config.hidden_size * config.directions, len(config.labels))

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Classify a micro-batch of padded sequences.

        Args:
            inputs: (rows, length, input_size) float32, or (rows, length) int64 token ids; padded with anything.
            lengths: (rows,) int64, each from 1 to length.

        Returns:
            (rows, labels) float32 logits.
        """
        steps = inputs if self.embedding is None else self.embedding(inputs)
        packed = pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, state = self.rnn(packed)
        return self.head(self._read_out(outputs, state, lengths))  # type: ignore[no-any-return]

    def _read_out(self, outputs: PackedSequence, state: Tensor | tuple[Tensor, Tensor], lengths: Tensor) -> Tensor:
        """(rows, hidden_size x directions): the last layer's final states, or its mean or maximum over the steps."""
        if self.config.readout == "last":
            final = state[0] if isinstance(state, tuple) else state
            return torch.cat(list(final[-self.config.directions :]), dim=-1)
        steps, _ = pad_packed_sequence(outputs, batch_first=True)
        lengths = lengths.to(steps.device)[:, None]
        beyond = (torch.arange(steps.shape[1], device=steps.device)[None] >= lengths)[..., None]
        if self.config.readout == "mean":
            return steps.masked_fill(beyond, 0.0).sum(dim=1) / lengths
        return steps.masked_fill(beyond, -torch.inf).amax(dim=1)


def load_classifier(folder: Path) -> RecurrentClassifier:
    """Read a recurrent model's folder (config.json, model.safetensors), in float32 and ready to answer.

    Raises:
        SpecInvalid: a file is missing, or the weights are not those of the configuration.
    """
    config = read_config(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise SpecInvalid(str(folder), f"has no {WEIGHTS_FILE}", remedy="Save the weights with safetensors' save_file.")
    weights = {name: weight.float() for name, weight in load_file(path).items()}
    check_weights(config, {name: tuple(weight.shape) for name, weight in weights.items()}, where=str(path))
    model = RecurrentClassifier(config)
    model.load_state_dict(weights)
    return model.eval()


def _cell(config: RecurrentConfig) -> nn.RNNBase:
    shape = (config.input_size, config.hidden_size, config.num_layers)
    if config.cell == "lstm":
        return nn.LSTM(*shape, batch_first=True, bidirectional=config.bidirectional)
    if config.cell == "gru":
        return nn.GRU(*shape, batch_first=True, bidirectional=config.bidirectional)
    return nn.RNN(*shape, nonlinearity=config.nonlinearity, batch_first=True, bidirectional=config.bidirectional)
