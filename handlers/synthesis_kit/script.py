"""What is to be said of one text: its sentences as utterances."""

from collections.abc import Iterator
from typing import NamedTuple

from handler_kit.errors import InvalidInput, LoadError
from synthesis_kit.cloning import chosen_voice
from synthesis_kit.emotions import EMOTIONS
from synthesis_kit.options import SynthesisOptions, VoiceOptions
from synthesis_kit.parameters import SynthesisParameters
from synthesis_kit.pieces import cut, sentences
from synthesis_kit.utterance import Prosody, SpeechNetwork, Utterance


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
    """Turns texts into scripts for the voices of *network*."""

    def __init__(self, options: SynthesisOptions, network: SpeechNetwork) -> None:
        self._options = options
        self._reader = network.reader()
        self._cloning = network.cloning
        self._speakers = {
            name: _speaker(name, voice, network) for name, voice in options.voices.items()
        }
        self._longest = min(options.max_piece_symbols, network.longest or options.max_piece_symbols)

    def write(self, text: str, asked: SynthesisParameters) -> Script:
        """The script of *text*: sentence i is drawn with seed + i.  Raises InvalidInput."""
        name = self._voice(asked.voice)
        voice = self._options.voices[name]
        self.check(text, asked)
        language = asked.language or self._options.languages[0]
        embedding = chosen_voice(self._cloning, asked.speaker_embedding, asked.reference_audio)
        first = asked.index or 0
        parts = sentences(text, language) if asked.index is None else [text]
        like = Utterance(
            "",
            _prosody(voice, asked),
            voice.formants,
            asked.seed + first,
            self._speakers[name],
            embedding,
        )
        script = Script(
            [
                self._utterances(part, language, asked, like._replace(seed=like.seed + place))
                for place, part in enumerate(parts)
            ],
            first,
            asked.volume * voice.volume,
        )
        if asked.index is None and not script.size:
            raise InvalidInput("The text holds nothing that can be spoken")
        return script

    def _voice(self, name: str | None) -> str:
        voices = self._options.voices
        if name is not None and name not in voices:
            raise InvalidInput(f"voice: known are {', '.join(voices)}")
        return name or next(iter(voices))

    def check(self, text: str, asked: SynthesisParameters) -> None:
        """Raises InvalidInput for a text or a language that cannot be."""
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
        self, sentence: str, language: str, asked: SynthesisParameters, like: Utterance
    ) -> list[Utterance]:
        symbols = self._reader.read(sentence, language, normalized=asked.normalize_text)
        pieces = cut(symbols, self._longest) if symbols else []
        return [like._replace(symbols=piece) for piece in pieces]


def _speaker(name: str, voice: VoiceOptions, network: SpeechNetwork) -> str | None:
    """Which of the network's speakers *voice* is.  Raises LoadError."""
    if network.speakers is None:
        if voice.speaker is not None:
            raise LoadError(f"voice {name}: this network has one speaker, and no choice")
        return None
    speaker = voice.speaker or name
    if speaker not in network.speakers:
        some = ", ".join(sorted(network.speakers)[:10])
        raise LoadError(f"voice {name}: the checkpoint has no speaker {speaker}, but {some}")
    return speaker


def _prosody(voice: VoiceOptions, asked: SynthesisParameters) -> Prosody:
    """The emotion's, times what was asked, times the voice's own."""
    emotion = EMOTIONS[asked.emotion or "neutral"]
    return emotion._replace(
        duration=emotion.duration / asked.speed,
        pitch=emotion.pitch * asked.pitch * voice.pitch,
    )
