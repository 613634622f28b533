"""The interface of a model that transcribes speech, and loading one from a checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from handler_kit.errors import LoadError
from handler_kit.model_type import model_type
from recognition_kit.audio_clip import AudioClip, DecodingSettings
from recognition_kit.options import RecognitionOptions
from recognition_kit.parameters import TranscriptionParameters
from recognition_kit.transcript import Transcript

_CLASSES = {  # by the `model_type` of config.json
    "whisper": ("whisper.recogniser", "WhisperRecogniser"),
    "wav2vec2": ("piecewise.ctc", "CtcRecogniser"),
    "moonshine": ("piecewise.moonshine", "MoonshineRecogniser"),
}


class RecognitionOutput(NamedTuple):
    """The transcripts of a pass, one per clip.

    *logits*, [vocabulary] or [steps, vocabulary], are those of each piece of a probe.  They serve
    to compare the network's precisions.
    """

    transcripts: list[Transcript]
    logits: list[torch.Tensor]


class Recogniser(ABC):
    """A checkpoint that transcribes speech.

    *network* is the module on the device; *piece_seconds* is the length of its longest input.
    """

    network: torch.nn.Module
    sample_rate: int
    piece_seconds: float

    @abstractmethod
    def parse(self, raw: dict[str, Any]) -> TranscriptionParameters:
        """Return *raw* as parameters that this checkpoint supports.

        Raises InvalidInput naming the parameter.
        """

    @abstractmethod
    def decoding(self, asked: TranscriptionParameters) -> DecodingSettings:
        """Return the settings in which all clips of a pass must agree."""

    @abstractmethod
    def probe(self) -> tuple[TranscriptionParameters, DecodingSettings]:
        """Return fast parameters and settings for the clips that check and warm up the model."""

    @abstractmethod
    def transcribe(
        self, network: torch.nn.Module, clips: Sequence[AudioClip], max_pieces: int
    ) -> RecognitionOutput:
        """Return the transcripts of *clips*, whose settings are equal.

        *network* is the recogniser's own, or its compiled form.  It processes at most *max_pieces*
        at once.
        """

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """Return what the checkpoint supports, for `describe`."""


def load_recogniser(folder: Path, device: torch.device, options: RecognitionOptions) -> Recogniser:
    """Load the recogniser in *folder* onto *device*, from safetensors only.

    Only the family that config.json names is imported.  Raises LoadError.
    """
    family = model_type(folder)
    if family not in _CLASSES:
        expected = ", ".join(_CLASSES)
        raise LoadError(
            f"config.json: model_type {family!r} is not a speech recogniser; "
            f"expected one of: {expected}"
        )
    module, name = _CLASSES[family]
    recogniser_class = getattr(import_module(f"recognition_kit.{module}"), name)
    recogniser: Recogniser = recogniser_class(folder, device, options)
    return recogniser
