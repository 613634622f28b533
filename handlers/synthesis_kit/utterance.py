"""One utterance, and what every network that speaks offers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch

from handler_kit.config import Precision
from synthesis_kit.cloning import Cloning, Embedding
from synthesis_kit.prosody import Prosody
from synthesis_kit.text.reading import SymbolReader
from synthesis_kit.word_times import CountedWord, TimeSpan

SYMBOLS_PER_SECOND = 16.0  # of prose, in every network that we measured: 15 to 20
EDGE_SECONDS = 0.5  # what an utterance takes besides its symbols: its beginning and its end


class Utterance(NamedTuple):
    """A sentence or a part of one.

    *symbols* are what the network's reader makes of it: misaki's phonemes, or letters; *words* are
    those that they say, where that is known.  *formants* moves the formants, as a shorter or longer
    vocal tract does; *embedding* replaces *speaker*.  *before* and *after* are the symbols around
    it in the same breath, for a network that `speaks_parts`: they are not heard, but *symbols*
    sound as they do between them.
    """

    symbols: str
    prosody: Prosody = Prosody()
    formants: float = 1.0
    seed: int = 0
    speaker: str | None = None
    embedding: Embedding | None = None
    words: tuple[CountedWord, ...] = ()
    before: str = ""
    after: str = ""

    @property
    def breath(self) -> str:
        """All symbols of the breath that it is a part of."""
        return self.before + self.symbols + self.after

    @property
    def seconds(self) -> float:
        """About how long it will be, known before anything is computed."""
        return (EDGE_SECONDS + len(self.symbols) / SYMBOLS_PER_SECOND) * self.prosody.duration


class SynthesisNetwork(ABC):
    """A network that speaks; *model* is the module on the device.

    *controls* are the parameters that it supports, *speakers* the voices that it can tell apart
    (None: it has one), *longest* how many symbols an utterance may have, *cloning* how it takes
    somebody else's voice.  *by_steps*: it makes one utterance after another, step by step, which
    takes seconds on a CPU, so nothing is tried with it at load.  *job_seconds* is how many seconds
    of speech one core makes in one or two.  *knows_times*: it can tell when each symbol is spoken.
    *speaks_side_by_side*: as on a CPU, `speak` gains nothing by batches and shares its utterances
    out over the threads instead; each then has the same numbers to the last bit, whoever speaks
    beside it.  *speaks_parts*: an utterance may have something before and after it, and takes
    less time than all of it together.  *precisions* are those besides fp32 and int8 that it has
    a form for.
    """

    controls: frozenset[str] = frozenset()  # of speed, pitch, emotion
    speakers: frozenset[str] | None = None
    longest: int | None = None
    cloning: Cloning | None = None
    by_steps: bool = False
    job_seconds: float = 15.0
    knows_times: bool = False
    speaks_side_by_side: bool = False
    speaks_parts: bool = False
    precisions: frozenset[Precision] = frozenset()
    model: torch.nn.Module
    sample_rate: int

    @abstractmethod
    def reader(self) -> SymbolReader:
        """Return what turns text into an utterance's symbols."""

    @abstractmethod
    def speak(self, utterances: Sequence[Utterance]) -> list[torch.Tensor]:
        """Return each utterance's samples, [samples] of float32 on the CPU from −1 to 1, in order.

        An utterance sounds the same in a batch as alone.  What the network cannot say was refused
        before.
        """

    def times(self, utterances: Sequence[Utterance]) -> list[list[TimeSpan]]:
        """Return when each symbol of each utterance is spoken.  Only for networks that know."""
        raise NotImplementedError

    @abstractmethod
    def length(self, utterance: Utterance) -> int:
        """Return how many symbols it has: passes are sorted and bounded by it."""
