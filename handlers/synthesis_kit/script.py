"""What is to be said of one text: its sentences as utterances."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from handler_kit.errors import InvalidInput, LoadError
from synthesis_kit.cloning import chosen_voice
from synthesis_kit.emotions import EMOTIONS
from synthesis_kit.options import SynthesisOptions, VoiceOptions
from synthesis_kit.parameters import SynthesisParameters
from synthesis_kit.pieces import cut, sentences
from synthesis_kit.utterance import Prosody, SpeechNetwork, Utterance


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a script as it travels: its sentence's place, and its pieces' symbols."""

    first: int
    continued: bool
    pieces: list[str]


class Part(msgspec.Struct, frozen=True):
    """A part of a script, and about how long it will be; `in_parts` answers consist of these."""

    seconds: float
    script: Written


class Script(NamedTuple):
    """Sentences, each as its pieces; one that nobody can say has none.

    *first* is the first sentence's place in the whole text; *continued*: it is the rest of the
    sentence before it.  *in_parts* and *only_read* are what `SynthesisParameters` says of them.
    """

    sentences: list[list[Utterance]]
    first: int
    volume: float
    continued: bool = False
    in_parts: bool = False
    only_read: bool = False

    @property
    def seconds(self) -> float:
        """About how long the speech will be."""
        return sum(each.seconds for each in self.utterances)

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
        self._job_seconds = options.job_seconds or network.job_seconds

    def write(self, text: str, asked: SynthesisParameters) -> Script:
        """The script of *text*: sentence i is drawn with seed + i.  Raises InvalidInput.

        What has to be spoken in one job is refused when it is too long.
        """
        whole = asked.index is None
        self.check(text, asked)
        script = self.write_sentences(
            sentences(text, self._language(asked)) if whole else [text], asked
        )
        if whole and not script.size:
            raise InvalidInput("The text holds nothing that can be spoken")
        longest = self._options.max_speech_seconds
        if not asked.in_parts and script.seconds > longest:
            raise InvalidInput(
                f"The text would be about {script.seconds:.0f} s of speech, "
                f"at most {longest:g} s are allowed"
            )
        return script

    def write_sentences(self, parts: Sequence[str], asked: SynthesisParameters) -> Script:
        """The script of sentences that need not be cut again.  Raises InvalidInput."""
        for part in parts:
            self.check(part, asked)
        language = self._language(asked)
        read = (
            self._reader.read(part, language, normalized=asked.normalize_text) for part in parts
        )
        pieces = [cut(symbols, self._longest) if symbols else [] for symbols in read]
        return self._script(pieces, asked.index or 0, asked, continued=asked.continued)

    def rewrite(self, written: Written, asked: SynthesisParameters) -> Script:
        """The script that *written* is a part of.  Raises InvalidInput."""
        for piece in written.pieces:
            if not 0 < len(piece) <= self._longest:
                raise InvalidInput(f"script: a piece has 1 to {self._longest} symbols")
        return self._script(
            [list(written.pieces)], written.first, asked, continued=written.continued
        )

    def parts(self, script: Script) -> list[Part]:
        """*script* cut so that each part is one job's: at sentences, and where one of them is too
        long between its pieces."""
        return [
            Part(
                round(sum(piece.seconds for piece in pieces), 3),
                Written(
                    script.first + place,
                    continued=number > 0 or (script.continued and place == 0),
                    pieces=[piece.symbols for piece in pieces],
                ),
            )
            for place, sentence in enumerate(script.sentences)
            for number, pieces in enumerate(_jobs(sentence, self._job_seconds))
        ]

    def put_off(self, scripts: Sequence[Script]) -> list[bool]:
        """Which of a job's *scripts* it does not speak, but answers as parts.

        At least one of them is spoken, unless it can be cut.
        """
        room, off = self._job_seconds, []
        for script in scripts:
            seconds = script.seconds
            fits = seconds <= room or (room == self._job_seconds and script.size <= 1)
            off.append(script.only_read or (script.in_parts and not fits))
            if not off[-1]:
                room -= seconds
        return off

    def _script(
        self,
        sentences: Sequence[Sequence[str]],
        first: int,
        asked: SynthesisParameters,
        *,
        continued: bool,
    ) -> Script:
        """Raises InvalidInput for a voice that is not there."""
        name = self._voice(asked.voice)
        voice = self._options.voices[name]
        like = Utterance(
            "",
            _prosody(voice, asked),
            voice.formants,
            asked.seed + first,
            self._speakers[name],
            chosen_voice(self._cloning, asked.speaker_embedding, asked.reference_audio),
        )
        return Script(
            [
                [like._replace(symbols=piece, seed=like.seed + place) for piece in pieces]
                for place, pieces in enumerate(sentences)
            ],
            first,
            asked.volume * voice.volume,
            continued,
            asked.in_parts,
            asked.only_read,
        )

    def _language(self, asked: SynthesisParameters) -> str:
        return asked.language or self._options.languages[0]

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


def _jobs(sentence: Sequence[Utterance], seconds: float) -> list[list[Utterance]]:
    """The pieces of *sentence* in groups of at most *seconds*, or of one."""
    groups: list[list[Utterance]] = []
    room = 0.0
    for piece in sentence:
        if not groups or piece.seconds > room:
            groups.append([])
            room = seconds
        groups[-1].append(piece)
        room -= piece.seconds
    return groups


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
