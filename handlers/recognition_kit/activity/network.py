"""Silero's voice activity network for 16 kHz (silero-vad 6, MIT), whole recordings at a time.

The layout is that of ``silero_vad/tinygrad_model.py``.  The features of a frame depend only on its
own samples and the 64 before it, so they are computed for all frames at once.  Only the LSTM runs
frame by frame.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch.nn.functional import pad
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

from handler_kit.errors import LoadError

SAMPLE_RATE = 16000
FRAME = 512  # samples
CONTEXT = 64  # samples before a frame that its features also depend on
WIDTH = 128
_FFT, _HOP, _EDGE = 256, 128, 64
_BINS = _FFT // 2 + 1
_LSTM = {
    f"lstm_cell.{kind}_{gate}": f"lstm.{kind}_{gate}_l0"
    for kind in ("weight", "bias")
    for gate in ("ih", "hh")
}


class LstmState(NamedTuple):
    """The LSTM's state: two tensors of [recordings, 128]."""

    hidden: torch.Tensor
    cell: torch.Tensor


class VoiceActivityNetwork(torch.nn.Module):
    """Turns frames into features when called, and features into probabilities with `judge`."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = torch.nn.Conv1d(1, 2 * _BINS, _FFT, stride=_HOP, bias=False)
        self.conv1 = torch.nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = torch.nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = torch.nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = torch.nn.Conv1d(64, WIDTH, 3, padding=1)
        self.lstm = torch.nn.LSTM(WIDTH, WIDTH)
        self.final_conv = torch.nn.Conv1d(WIDTH, 1, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return features [frames, 128] of *frames* [frames, 64 + 512 samples from −1 to 1]."""
        spectrum = self.stft_conv(pad(frames[:, None], (0, _EDGE), mode="reflect"))
        features: torch.Tensor = (spectrum[:, :_BINS] ** 2 + spectrum[:, _BINS:] ** 2).sqrt()
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = conv(features).relu()
        return features[:, :, 0]

    def judge(
        self, recordings: Sequence[torch.Tensor], memory: LstmState
    ) -> tuple[list[torch.Tensor], LstmState]:
        """Return the probability of speech in each frame, and the state after the last one.

        *recordings* are features, [frames, 128] each, with at least one frame.  The probabilities
        are [frames] for each.
        """
        packed = pack_sequence(list(recordings), enforce_sorted=False)
        outputs, (hidden, cell) = self.lstm(packed, (memory.hidden[None], memory.cell[None]))
        weight, bias = self.final_conv.weight[:, :, 0], self.final_conv.bias
        probabilities = [
            torch.nn.functional.linear(states.relu(), weight, bias).sigmoid()[:, 0]
            for states in unpack_sequence(outputs)
        ]
        return probabilities, LstmState(hidden[0], cell[0])


def load_network(file: Path, device: torch.device) -> VoiceActivityNetwork:
    """Load the network with the weights in *file*, whose layout is that of the package silero-vad.

    Raises LoadError.
    """
    network = VoiceActivityNetwork()
    try:
        weights = load_file(file)
        network.load_state_dict({_LSTM.get(name, name): one for name, one in weights.items()})
    except Exception as exc:
        raise LoadError(f"cannot load {file.name}: {exc}") from exc
    return network.eval().to(device)
