"""`python -m benchmarks.word_times`: the default voice's word times against a forced alignment.

The aligner is PocketSphinx with the English model that its package holds.  It is not a requirement
of the tests: `pip install --no-deps pocketsphinx==5.1.1` first.  Sentences with words that its
dictionary lacks are left out.  Set PYTHONPATH=handlers.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
from pocketsphinx import Decoder, get_model_path  # type: ignore[import-not-found]

from handler_kit.wav import Samples, from_pcm, to_pcm
from synthesis_kit.word_times import SpokenWord
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import load_voice, unpacked
from tests.sentences import SENTENCES

MODEL = "hibari_tts"
RATE = 24000
ALIGNER_RATE = 16000
FRAMES_PER_SECOND = 100
SILENCE_SECONDS = 0.3  # around each sentence, as in a recording
CLOSE_SECONDS = 0.08
LOUD = 0.01  # of the peak


class Difference(NamedTuple):
    """How many seconds later the voice says that a word begins and ends."""

    start: float
    end: float


class Aligner:
    """PocketSphinx, told what is said."""

    def __init__(self) -> None:
        model = f"{get_model_path()}/en-us"
        self._decoder = Decoder(
            hmm=f"{model}/en-us", dict=f"{model}/cmudict-en-us.dict", lm=None, loglevel="FATAL"
        )

    def knows(self, words: list[str]) -> bool:
        """Whether all *words* are in the dictionary."""
        return all(self._decoder.lookup_word(word) is not None for word in words)

    def align(self, words: list[str], samples: Samples) -> list[SpokenWord]:
        """Return when *words* are said in *samples*, which have RATE."""
        pause = np.zeros(round(SILENCE_SECONDS * ALIGNER_RATE), np.float32)
        sound = soxr.resample(samples, RATE, ALIGNER_RATE).astype(np.float32)
        decoder: Any = self._decoder
        decoder.set_align_text(" ".join(words))
        decoder.start_utt()
        decoder.process_raw(to_pcm(np.concatenate([pause, sound, pause])), full_utt=True)
        decoder.end_utt()
        return [
            SpokenWord(
                re.sub(r"\(\d+\)$", "", found.word),
                found.start_frame / FRAMES_PER_SECOND - SILENCE_SECONDS,
                (found.end_frame + 1) / FRAMES_PER_SECOND - SILENCE_SECONDS,
            )
            for found in decoder.seg()
            if not found.word.startswith("<")
        ]


def compare(voice: Loaded, aligner: Aligner) -> Iterator[tuple[list[Difference], float]]:
    """Yield the differences of each sentence, and how long before any sound the aligner begins."""
    for sentence in SENTENCES:
        asked = {"timestamps": "word"}
        header, (pcm,) = voice.job(sentence.encode(), type="text", parameters=asked)
        told = [SpokenWord(*each) for each in header.items[0].parameters["words"]]
        words = [re.sub(r"[^a-z']", "", each.word.lower()) for each in told]
        if "-" in sentence or not aligner.knows(words):
            continue
        samples = from_pcm(pcm)
        found = aligner.align(words, samples)
        if [each.word for each in found] != words:
            continue
        loud = np.flatnonzero(np.abs(samples) > LOUD * np.abs(samples).max())[0] / RATE
        differences = [
            Difference(own.start - other.start, own.end - other.end)
            for own, other in zip(told, found, strict=True)
        ]
        yield differences, loud - found[0].start


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        voice = load_voice(MODEL, unpacked(MODEL, Path(folder)))
        sentences, early = zip(*compare(voice, Aligner()), strict=True)
    seconds = np.array([each for sentence in sentences for each in sentence])
    close = np.abs(seconds) <= CLOSE_SECONDS
    print(f"{len(seconds)} words of {len(sentences)} sentences")
    for place, name in enumerate(Difference._fields):
        column = seconds[:, place]
        print(
            f"{name}: {1000 * np.median(column):+.0f} ms (median), {close[:, place].mean():.0%} are"
            f" within {1000 * CLOSE_SECONDS:.0f} ms"
        )
    print(f"both within: {close.all(axis=1).mean():.0%}")
    print(f"the aligner begins {1000 * np.median(early):.0f} ms before there is sound (median)")


if __name__ == "__main__":
    main()
