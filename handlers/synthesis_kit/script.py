"""What is to be said of one text: its sentences as utterances."""

from collections.abc import Iterator
from typing import NamedTuple

from handler_kit.errors import InvalidInput
from synthesis_kit.emotions import EMOTIONS
from synthesis_kit.options import SynthesisOptions, VoiceOptions
from synthesis_kit.parameters import SynthesisParameters
from synthesis_kit.pieces import cut, sentences
from synthesis_kit.pronunciation import Pronunciation
from synthesis_kit.utterance import Prosody, Utterance


class Script(NamedTuple):
    """Sentences, each as its pieces; one that nobody can say has none.

    *first* is the first sentence's place in the whole text.
    """

    sentences: list[list[Utterance]]
    first: int
    volume: float

    @property
    def utterances(self) -> Iterator[Utterance]:
        """All pieces, in order."""
        return (piece for pieces in self.sentences for piece in pieces)

    @property
    def size(self) -> int:
        """How many pieces there are."""
        return sum(map(len, self.sentences))


def text_of(body: bytes) -> str:
    """*body* as text.  Raises InvalidInput."""
    try:
        return body.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput("The text is not valid UTF-8") from exc


class ScriptWriter:
    """Turns texts into scripts for the voices of one model."""

    def __init__(self, options: SynthesisOptions) -> None:
        self._options = options
        self._pronunciation = Pronunciation()

    def write(self, text: str, asked: SynthesisParameters) -> Script:
        """The script of *text*: sentence i is drawn with seed + i.  Raises InvalidInput."""
        voice = self._voice(asked.voice)
        self._check(text, asked)
        language = asked.language or self._options.languages[0]
        first = asked.index or 0
        parts = sentences(text, language) if asked.index is None else [text]
        script = Script(
            [
                self._utterances(part, voice, asked, asked.seed + first + place)
                for place, part in enumerate(parts)
            ],
            first,
            asked.volume * voice.volume,
        )
        if asked.index is None and not script.size:
            raise InvalidInput("The text holds nothing that can be spoken")
        return script

    def _voice(self, name: str | None) -> VoiceOptions:
        voices = self._options.voices
        if name is not None and name not in voices:
            raise InvalidInput(f"voice: known are {', '.join(voices)}")
        return voices[name] if name else next(iter(voices.values()))

    def _check(self, text: str, asked: SynthesisParameters) -> None:
        limit = self._options.max_characters
        if len(text) > limit:
            raise InvalidInput(f"The text has {len(text)} characters, {limit} are allowed")
        if asked.language is not None and asked.language not in self._options.languages:
            raise InvalidInput(f"language: the voice knows {', '.join(self._options.languages)}")
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidInput("The text holds half of a surrogate pair") from exc

    def _utterances(
        self, sentence: str, voice: VoiceOptions, asked: SynthesisParameters, seed: int
    ) -> list[Utterance]:
        phonemes = self._pronunciation.phonemes(sentence, normalized=asked.normalize_text)
        if not phonemes:
            return []
        prosody = _prosody(voice, asked)
        return [
            Utterance(piece, prosody, voice.formants, seed)
            for piece in cut(phonemes, self._options.max_piece_symbols)
        ]


def _prosody(voice: VoiceOptions, asked: SynthesisParameters) -> Prosody:
    """The emotion's, times what was asked, times the voice's own."""
    emotion = EMOTIONS[asked.emotion or "neutral"]
    return emotion._replace(
        duration=emotion.duration / asked.speed,
        pitch=emotion.pitch * asked.pitch * voice.pitch,
    )
