"""One piece of speech, as a network is asked for it."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import torch


class Prosody(NamedTuple):
    """Factors on what a network predicts itself; 1 leaves it as it is.

    *duration* 2 is half as fast; *pitch* 2 an octave higher; *pitch_range* 0 is monotonous;
    *energy* is added to the logarithm of a sound's loudness, as the network understands it.
    """

    duration: float = 1.0
    pitch: float = 1.0
    pitch_range: float = 1.0
    energy: float = 0.0


class Utterance(NamedTuple):
    """A sentence or a part of one.  *phonemes* are misaki's; *formants* moves the vocal tract."""

    phonemes: str
    prosody: Prosody = Prosody()
    formants: float = 1.0
    seed: int = 0


class SpeechNetwork(Protocol):
    """A network that speaks.  *controls* are the parameters that it obeys."""

    controls: ClassVar[frozenset[str]]  # of speed, pitch, emotion
    sample_rate: int

    @property
    def model(self) -> torch.nn.Module:
        """What the device holds."""

    def speak(self, utterances: Sequence[Utterance]) -> list[torch.Tensor]:
        """Each utterance's samples, float32 on the CPU, −1 to 1, [samples], in order.

        Batched equals single.  What the network cannot do in an utterance was refused before.
        """

    def length(self, utterance: Utterance) -> int:
        """What passes are sorted by and bounded with: how many symbols it has."""
