"""One pass of the voice activity network over pieces of several recordings."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from handler_kit.wav import Samples
from recognition_kit.activity.network import CONTEXT, FRAME, LstmState
from recognition_kit.activity.recording_state import RecordingState

FRAMES_AT_ONCE = 512  # the spectra of more do not fit into a CPU's caches
DIGITS = 4


class ActivityParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client's parameters: the *state* in the answer to the previous piece of the recording.

    null begins a new recording.
    """

    state: str | None = None


class RecordingPiece(NamedTuple):
    """A piece of a recording in whole frames of 512 samples, and the state before it."""

    samples: Samples
    state: RecordingState


class ActivityAnswer(msgspec.Struct, frozen=True):
    """The probability of speech in each 32 ms, and the state to send with the next piece."""

    probabilities: list[float]
    state: str


class PieceActivity(NamedTuple):
    """The probabilities [frames] of one piece, on the CPU, and the state after its last frame."""

    probabilities: torch.Tensor
    state: RecordingState

    def answer(self) -> ActivityAnswer:
        """Return the answer, with probabilities rounded to four decimals."""
        rounded = [round(one, DIGITS) for one in self.probabilities.tolist()]
        return ActivityAnswer(rounded, self.state.text)


def detect_speech(
    network: Any, recordings: Sequence[RecordingPiece], device: torch.device
) -> list[PieceActivity]:
    """Return the activity in each of *recordings*.  One without samples keeps its state."""
    judged = [PieceActivity(torch.empty(0), recording.state) for recording in recordings]
    places = [place for place, recording in enumerate(recordings) if len(recording.samples)]
    if not places:
        return judged
    heard = [recordings[place] for place in places]
    frames = [frame(recording) for recording in heard]
    features = _in_parts(network, torch.cat(frames).to(device))
    hidden = np.stack([recording.state.hidden for recording in heard])
    cell = np.stack([recording.state.cell for recording in heard])
    probabilities, memory = network.judge(
        torch.split(features, [len(one) for one in frames]),
        LstmState(torch.from_numpy(hidden).to(device), torch.from_numpy(cell).to(device)),
    )
    for number, (place, recording) in enumerate(zip(places, heard, strict=True)):
        state = RecordingState(
            memory.hidden[number].cpu().numpy(),
            memory.cell[number].cpu().numpy(),
            recording.samples[-CONTEXT:],
        )
        judged[place] = PieceActivity(probabilities[number].cpu(), state)
    return judged


def frame(recording: RecordingPiece) -> torch.Tensor:
    """Return [frames, 64 + 512]: each frame preceded by the last samples of the one before it."""
    whole = torch.from_numpy(np.concatenate([recording.state.context, recording.samples]))
    return whole.unfold(0, CONTEXT + FRAME, FRAME)


def _in_parts(
    network: Callable[[torch.Tensor], torch.Tensor], frames: torch.Tensor
) -> torch.Tensor:
    return torch.cat([network(part) for part in torch.split(frames, FRAMES_AT_ONCE)])
