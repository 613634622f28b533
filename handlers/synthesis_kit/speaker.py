"""Speaks scripts: their utterances, the pauses between them, and the times of their words."""

from collections.abc import Iterator, Sequence
from itertools import islice

from torch import Tensor

from synthesis_kit.audio import FADE_SECONDS, amplified, faded, joined
from synthesis_kit.options import SynthesisOptions
from synthesis_kit.outcomes import SpokenScript
from synthesis_kit.passes import speak_all
from synthesis_kit.text.script import Script
from synthesis_kit.utterance import SynthesisNetwork, Utterance
from synthesis_kit.word_times import SpokenWord, fit_to_sound, time_words


class Speaker:
    """Speaks scripts with *network*, many utterances in few passes."""

    def __init__(self, network: SynthesisNetwork, options: SynthesisOptions) -> None:
        self._network = network
        self._rate = network.sample_rate
        self._pause_seconds = options.pause_seconds
        self._max_symbols = options.max_pass_symbols

    def speak(self, scripts: Sequence[Script]) -> list[SpokenScript]:
        """Return the audio of each of *scripts*, in order."""
        utterances = [each for script in scripts for each in script.utterances]
        spoken = iter(speak_all(self._network, utterances, self._max_symbols))
        return [self._joined(script, list(islice(spoken, script.size))) for script in scripts]

    def _joined(self, script: Script, pieces: list[Tensor]) -> SpokenScript:
        pauses = self._pauses(script)
        words = list(self._words(script, pieces, pauses)) if script.timed else None
        return SpokenScript(self._audio(script, pieces, pauses), script.left_out, words)

    def _pauses(self, script: Script) -> list[int]:
        """Return how many samples of silence begin each sentence."""
        begins = 0 if script.continued else script.first  # nothing pauses inside a sentence
        seconds = [
            sentence.manner.pause
            + (self._pause_seconds if sentence.pieces and begins + place else 0)
            for place, sentence in enumerate(script.sentences)
        ]
        return [round(each * self._rate) for each in seconds]

    def _audio(self, script: Script, pieces: list[Tensor], pauses: Sequence[int]) -> Tensor:
        rest = iter(pieces)
        sentences = [
            [
                self._softened(next(rest), utterance) * sentence.manner.volume
                for utterance in sentence.pieces
            ]
            for sentence in script.sentences
        ]
        return amplified(joined(sentences, pauses), script.volume)

    def _softened(self, samples: Tensor, utterance: Utterance) -> Tensor:
        """Return *samples* without a click at an end of the breath; inside it nothing is faded."""
        fade = round(FADE_SECONDS * self._rate)
        return faded(samples, fade, begins=not utterance.before, ends=not utterance.after)

    def _words(
        self, script: Script, pieces: Sequence[Tensor], pauses: Sequence[int]
    ) -> Iterator[SpokenWord]:
        """Yield when each word is spoken, in seconds from the beginning of the script's audio."""
        samples = iter(pieces)
        spans = iter(self._network.times(list(script.utterances)))
        place = 0
        for sentence, pause in zip(script.sentences, pauses, strict=True):
            place += pause
            for utterance in sentence.pieces:
                audio = next(samples)
                words = list(time_words(utterance.symbols, utterance.words, next(spans)))
                for word in fit_to_sound(words, audio, self._rate):
                    yield word.later(place / self._rate)
                place += len(audio)
