"""What a model that writes speech down can be asked, whatever its family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from recognition_kit.clip import Clip, Decoding
from recognition_kit.parameters import TranscriptionParameters
from recognition_kit.transcript import Transcript


class Outcome(NamedTuple):
    """A transcript per clip; *logits*, of each piece of a probe, [tokens known] or [steps, tokens
    known], are what the network's precision is judged by."""

    transcripts: list[Transcript]
    logits: list[torch.Tensor]


class Recogniser(ABC):
    """A checkpoint that listens.  *network* is what the device holds; *piece_seconds* is how much
    it hears at once."""

    network: torch.nn.Module
    sample_rate: int
    piece_seconds: float

    @abstractmethod
    def parse(self, raw: dict[str, Any]) -> TranscriptionParameters:
        """*raw* as this checkpoint can obey it.  Raises InvalidInput naming the parameter."""

    @abstractmethod
    def decoding(self, asked: TranscriptionParameters) -> Decoding:
        """What a clip must have in common with those that share its pass."""

    @abstractmethod
    def probe(self) -> tuple[TranscriptionParameters, Decoding]:
        """How clips that check and warm the model are heard: quickly."""

    @abstractmethod
    def transcribe(
        self, network: torch.nn.Module, clips: Sequence[Clip], max_pieces: int
    ) -> Outcome:
        """What was said in *clips*, whose decoding is the same.

        *network* is the recogniser's own, compiled or not; it hears *max_pieces* at once.
        """

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """What the checkpoint knows."""
