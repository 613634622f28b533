"""One piece of speech, and the networks that are asked for it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch

from synthesis_kit.cloning import Cloning, Embedding
from synthesis_kit.prosody import Prosody
from synthesis_kit.text.reading import SymbolReader
from synthesis_kit.word_times import CountedWord, TimeSpan

SYMBOLS_PER_SECOND = 16.0  # of prose, in every network that we measured: 15 to 20
EDGE_SECONDS = 0.5  # what an utterance takes besides its symbols: its beginning and its end


class Utterance(NamedTuple):
    """A sentence or a part of one.

    *symbols* are what the network's reader makes of it: misaki's phonemes, or letters; *words*
    those that they say, where that is known.  *formants* moves the vocal tract; *embedding*
    replaces *speaker*.
    """

    symbols: str
    prosody: Prosody = Prosody()
    formants: float = 1.0
    seed: int = 0
    speaker: str | None = None
    embedding: Embedding | None = None
    words: tuple[CountedWord, ...] = ()

    @property
    def seconds(self) -> float:
        """About how long it will be, known before anything is computed."""
        return (EDGE_SECONDS + len(self.symbols) / SYMBOLS_PER_SECOND) * self.prosody.duration


class SynthesisNetwork(ABC):
    """A network that speaks; *model* is what the device holds.

    *controls* are the parameters that it obeys, *speakers* the voices that it can tell apart
    (None: it has one), *longest* how many symbols an utterance may have, *cloning* how it takes
    the voice of somebody else.  *by_steps*: it makes one utterance after the other, step by step,
    which takes seconds on a CPU: nothing is tried out with it when it is loaded.
    *job_seconds* is how many seconds of speech one core makes in one or two.  *knows_times*: it
    can tell when each symbol is spoken.  *speaks_side_by_side*: `speak` may run in several threads.
    """

    controls: frozenset[str] = frozenset()  # of speed, pitch, emotion
    speakers: frozenset[str] | None = None
    longest: int | None = None
    cloning: Cloning | None = None
    by_steps: bool = False
    job_seconds: float = 15.0
    knows_times: bool = False
    speaks_side_by_side: bool = False
    model: torch.nn.Module
    sample_rate: int

    @abstractmethod
    def reader(self) -> SymbolReader:
        """What makes an utterance's symbols of text."""

    @abstractmethod
    def speak(self, utterances: Sequence[Utterance]) -> list[torch.Tensor]:
        """Each utterance's samples, float32 on the CPU, −1 to 1, [samples], in order.

        Batched equals single.  What the network cannot do in an utterance was refused before.
        """

    def times(self, utterances: Sequence[Utterance]) -> list[list[TimeSpan]]:
        """When each symbol of each utterance is spoken.  Only of networks that know."""
        raise NotImplementedError

    @abstractmethod
    def length(self, utterance: Utterance) -> int:
        """What passes are sorted by and bounded with: how many symbols it has."""
