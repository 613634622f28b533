"""Voice activity with Silero's network, for whole recordings or piece by piece."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, Precision, parse_options
from handler_kit.errors import InvalidInput, ItemError
from handler_kit.job import Answer, Item
from handler_kit.threads import one_thread
from handler_kit.wav import Samples, from_pcm, read_wav
from recognition_kit.activity.detection import (
    ActivityParameters,
    PieceActivity,
    RecordingPiece,
    detect_speech,
)
from recognition_kit.activity.network import CONTEXT, FRAME, SAMPLE_RATE, load_network
from recognition_kit.activity.recording_state import RecordingState
from recognition_kit.options import VoiceActivityOptions

SAMPLE_FRAMES = 32  # one second


class VoiceActivityHandler(BatchHandler[RecordingPiece, list[RecordingPiece], list[PieceActivity]]):
    """Answers each piece of 16-bit PCM at 16 kHz, or a WAV file, with {probabilities, state}.

    There is one probability for each 32 ms.  *state* is sent with the next piece of the recording.
    """

    item_types: ClassVar[frozenset[str]] = frozenset({"json", "pcm"})  # "json" is a plain body
    precisions: frozenset[Precision] = frozenset({"fp32"})
    options: VoiceActivityOptions

    def read_options(self, config: HandlerConfig) -> VoiceActivityOptions:
        """Return the weights' file and the limits."""
        return parse_options(config, VoiceActivityOptions)

    def load_model(self) -> torch.nn.Module:
        """Load the archive's network."""
        return load_network(self.folder / self.options.weights, self.device)

    def value_of(self, item: Item) -> Samples:
        """Return the samples: of PCM at 16 kHz in a job, or of a WAV file as the request's body."""
        if item.type == "pcm":
            return from_pcm(item.body)
        if item.value is not msgspec.UNSET or not item.body.startswith(b"RIFF"):
            raise InvalidInput(
                "The input must be audio: a WAV file, or 16-bit PCM at 16000 Hz (type pcm) in a job"
            )
        return read_wav(item.body, SAMPLE_RATE)

    def decode(self, value: object, parameters: dict[str, Any]) -> RecordingPiece:
        """Return a piece in whole frames of 512 samples, the last one padded with zeros."""
        assert isinstance(value, np.ndarray)
        try:
            asked = msgspec.convert(parameters, ActivityParameters)
        except msgspec.ValidationError as exc:
            raise InvalidInput(f"parameters: {exc}") from exc
        seconds = len(value) / SAMPLE_RATE
        if seconds > self.options.max_seconds:
            raise InvalidInput(
                f"The audio lasts {seconds:.1f} s; "
                f"at most {self.options.max_seconds:g} s are allowed"
            )
        state = RecordingState.first() if asked.state is None else RecordingState.parse(asked.state)
        return RecordingPiece(np.pad(value, (0, -len(value) % FRAME)), state)

    def plan(self, inputs: Sequence[RecordingPiece]) -> list[ForwardPass[list[RecordingPiece]]]:
        """Return one pass for all."""
        return [ForwardPass(range(len(inputs)), list(inputs))]

    def forward(self, batch: list[RecordingPiece]) -> list[PieceActivity]:
        """Return probabilities and states, in order."""
        with one_thread():
            return detect_speech(self.model, batch, self.device)

    def encode(self, outputs: list[PieceActivity]) -> Sequence[Answer | ItemError]:
        """Return each as JSON."""
        return [Answer(body=msgspec.json.encode(one.answer())) for one in outputs]

    def compared(self, outputs: list[PieceActivity]) -> list[torch.Tensor]:
        """Return the probabilities of each recording."""
        return [one.probabilities for one in outputs]

    def samples(self, count: int) -> list[RecordingPiece]:
        """Return clips of one second of noise."""
        noise = np.random.default_rng(0).normal(0, 0.1, (count, SAMPLE_FRAMES * FRAME))
        return [RecordingPiece(one, RecordingState.first()) for one in noise.astype(np.float32)]

    def details(self) -> dict[str, Any]:
        """Return the requirements for a piece."""
        return {
            "sample_rate": SAMPLE_RATE,
            "frame_samples": FRAME,
            "context_samples": CONTEXT,
            "max_seconds": self.options.max_seconds,
        }
