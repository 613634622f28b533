"""The script of one text: its sentences as utterances."""

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput, LoadError
from synthesis_kit.cloning import chosen_voice
from synthesis_kit.options import SynthesisOptions, VoiceOptions
from synthesis_kit.parameters import SynthesisParameters
from synthesis_kit.prosody import EMOTIONS, Prosody
from synthesis_kit.text.ipa import pronunciation
from synthesis_kit.text.reading import ReadingManner, by_script, unmarked
from synthesis_kit.text.ssml import (
    LEAST,
    LOUDEST,
    MAX_PAUSE_SECONDS,
    MOST,
    QUIETEST,
    Passage,
    passages,
)
from synthesis_kit.text.text_pieces import cut, sentences, word_end
from synthesis_kit.utterance import (
    EDGE_SECONDS,
    SYMBOLS_PER_SECOND,
    SynthesisNetwork,
    Utterance,
)
from synthesis_kit.word_times import CountedWord, divide_words

BEGINNING_SECONDS = 1.0  # of a stream, before the rest of its first sentence


class ScriptPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a script as it travels between the handler and its caller.

    It has the place of its sentence in the text, the symbols of its pieces, and what its
    `ssml.Passage` says of pause, tempo, pitch and loudness.  *before* and *after* are the symbols
    around its pieces in the same breath, which are not heard.
    """

    first: int
    continued: bool
    pieces: list[str]
    words: list[list[CountedWord]] = []
    pause: Annotated[float, Meta(ge=0, le=MAX_PAUSE_SECONDS + 1)] = 0.0
    speed: Annotated[float, Meta(ge=LEAST, le=MOST)] = 1.0
    pitch: Annotated[float, Meta(ge=LEAST, le=MOST)] = 1.0
    volume: Annotated[float, Meta(ge=QUIETEST, le=LOUDEST)] = 1.0
    before: str = ""
    after: str = ""


class TimedPart(msgspec.Struct, frozen=True):
    """A part of a script and about how long it will be; `in_parts` answers consist of these."""

    seconds: float
    script: ScriptPart


class Sentence(NamedTuple):
    """The pieces of one sentence, none for what nobody can say.

    *manner* is the passage that it came from: its pause, tempo, pitch and loudness.
    """

    pieces: list[Utterance]
    manner: Passage

    @property
    def seconds(self) -> float:
        """About how long it will be, its pause included."""
        return self.manner.pause + sum(piece.seconds for piece in self.pieces)


class Script(NamedTuple):
    """Sentences, and what of the text is not in them: words by their writing systems.

    *first* is the first sentence's place in the whole text; *continued*: it is the rest of the
    sentence before it.  *in_parts* and *only_read* are what `SynthesisParameters` says of them.
    *rest*: these sentences are only the beginning, and it follows them.
    """

    sentences: list[Sentence]
    first: int
    volume: float
    left_out: dict[str, list[str]]
    continued: bool = False
    in_parts: bool = False
    only_read: bool = False
    timed: bool = False
    rest: "Script | None" = None

    @property
    def seconds(self) -> float:
        """About how long the speech will be."""
        return sum(sentence.seconds for sentence in self.sentences)

    @property
    def utterances(self) -> Iterator[Utterance]:
        """All pieces, in order."""
        return (piece for sentence in self.sentences for piece in sentence.pieces)

    @property
    def size(self) -> int:
        """How many pieces there are."""
        return sum(len(sentence.pieces) for sentence in self.sentences)


def text_of(body: bytes) -> str:
    """Return *body* as text.  Raises InvalidInput."""
    try:
        return body.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput("The text is not valid UTF-8") from exc


class ScriptWriter:
    """Turns texts into scripts for the voices of *network*."""

    def __init__(self, options: SynthesisOptions, network: SynthesisNetwork) -> None:
        self._options = options
        self._reader = network.reader()
        self._controls = network.controls
        self._knows_times = network.knows_times
        self._speaks_parts = network.speaks_parts
        self._cloning = network.cloning
        self._speakers = {
            name: _speaker(name, voice, network) for name, voice in options.voices.items()
        }
        self._longest = min(options.max_piece_symbols, network.longest or options.max_piece_symbols)
        self._job_seconds = options.job_seconds or network.job_seconds

    def write(self, text: str, asked: SynthesisParameters) -> Script:
        """Return the script of *text*: sentence i is drawn with seed + i.  Raises InvalidInput.

        What has to be spoken in one job is refused when it is too long.
        """
        whole = asked.index is None
        self.check(text, asked)
        if asked.input_type == "ssml":
            if not whole:
                raise InvalidInput(
                    "ssml is for whole texts, and this is a part of one", field="input_type"
                )
            script = self._script(self._passages(text, asked), asked, is_marked_up=False)
        elif whole:
            language = self._language(asked)
            plain = unmarked(text, ReadingManner(language, asked.normalize_text))
            cut_text = [Passage(each) for each in sentences(plain, language)]
            script = self._script(cut_text, asked, is_marked_up=False)
        else:
            script = self.write_sentences([text], asked)
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
        """Return the script of sentences that are not cut again.  Raises InvalidInput."""
        for part in parts:
            self.check(part, asked)
        return self._script([Passage(part) for part in parts], asked, is_marked_up=True)

    def _passages(self, document: str, asked: SynthesisParameters) -> list[Passage]:
        """Return the sentences of an SSML *document*.

        Raises InvalidInput for what the network does not support.
        """
        language = self._language(asked)
        base = language.partition("-")[0].lower()
        parsed = passages(document, lambda code: code.partition("-")[0].lower() == base)
        for name, control in (("rate", "speed"), ("pitch", "pitch")):
            changed = any(getattr(each, control) != 1 for each in parsed)
            if changed and control not in self._controls:
                raise InvalidInput(
                    f"{name} of <prosody>: is not supported by this voice", field="text"
                )
        return [
            passage._replace(text=sentence, pause=0.0 if place else passage.pause)
            for passage in parsed
            for place, sentence in enumerate(sentences(passage.text, language) or [""])
        ]

    def _script(
        self, passages: Sequence[Passage], asked: SynthesisParameters, *, is_marked_up: bool
    ) -> Script:
        """Return the script of *passages*, each of which is one sentence.  Raises InvalidInput."""
        manner = ReadingManner(self._language(asked), asked.normalize_text, is_marked_up)
        left_out: list[str] = []
        pieces: list[list[str]] = []
        words: list[list[list[CountedWord]]] = []
        for passage in passages:
            said = {
                word: pronunciation(word, ipa)
                for word, ipa in {**asked.pronunciations, **passage.said}.items()
            }
            if said and not self._reader.has_phonemes:
                raise InvalidInput(
                    "this voice reads letters and does not support phonemes", field="pronunciations"
                )
            read = self._reader.read(passage.text, manner._replace(pronunciations=said))
            pieces.append(cut(read.symbols, self._longest) if read.symbols else [])
            words.append(divide_words(pieces[-1], read.words))
            left_out += read.left_out
        return self._spoken(
            pieces,
            words,
            passages,
            asked.index or 0,
            asked,
            left_out=by_script(left_out),
            continued=asked.continued,
        )

    def rewrite(self, written: ScriptPart, asked: SynthesisParameters) -> Script:
        """Return the script that *written* is a part of.  Raises InvalidInput."""
        breaths = list(written.pieces)
        if breaths:
            breaths[0] = written.before + breaths[0]
            breaths[-1] += written.after
        if not all(written.pieces) or any(len(each) > self._longest for each in breaths):
            raise InvalidInput(f"a piece must have 1 to {self._longest} symbols", field="script")
        if (written.before or written.after) and not self._speaks_parts:
            raise InvalidInput("this voice speaks no parts of a breath", field="script")
        if written.words and len(written.words) != len(written.pieces):
            raise InvalidInput("words must be given for each piece, or for none", field="script")
        manner = Passage("", written.pause, written.speed, written.pitch, written.volume)
        return self._spoken(
            [written.pieces],
            [written.words or [[]] * len(written.pieces)],
            [manner],
            written.first,
            asked,
            left_out={},
            continued=written.continued,
            around=(written.before, written.after),
        )

    def parts(self, script: Script) -> list[TimedPart]:
        """Return the parts of *script* and of its rest, each small enough for one job.

        It is cut at sentences, and between the pieces of a sentence that is too long.
        """
        parts = [
            self._part(script, place, number, pieces)
            for place, sentence in enumerate(script.sentences)
            for number, pieces in enumerate(_jobs(sentence, self._job_seconds))
        ]
        return parts if script.rest is None else [*parts, *self.parts(script.rest)]

    @staticmethod
    def _part(script: Script, place: int, number: int, pieces: Sequence[Utterance]) -> TimedPart:
        manner = script.sentences[place].manner
        pause = 0.0 if number else manner.pause
        return TimedPart(
            round(pause + sum(piece.seconds for piece in pieces), 3),
            ScriptPart(
                script.first + place,
                continued=number > 0 or (script.continued and place == 0),
                pieces=[piece.symbols for piece in pieces],
                words=[list(piece.words) for piece in pieces] if script.timed else [],
                pause=pause,
                speed=manner.speed,
                pitch=manner.pitch,
                volume=manner.volume,
                before=pieces[0].before if pieces else "",
                after=pieces[-1].after if pieces else "",
            ),
        )

    def postponed(self, scripts: Sequence[Script]) -> list[bool]:
        """Return which of a job's *scripts* are not spoken, but answered as parts.

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

    def _spoken(
        self,
        sentences: Sequence[Sequence[str]],
        words: Sequence[Sequence[Sequence[CountedWord]]],
        manners: Sequence[Passage],
        first: int,
        asked: SynthesisParameters,
        *,
        left_out: dict[str, list[str]],
        continued: bool,
        around: tuple[str, str] = ("", ""),
    ) -> Script:
        """Return the script, of which the symbols *around* are not heard.

        Raises InvalidInput for an unknown voice, or one without times.
        """
        if asked.timestamps is not None and not self._knows_times:
            raise InvalidInput(
                "this voice cannot tell when its words are spoken", field="timestamps"
            )
        voice = self._voice(asked.voice)
        like = self._silent(voice, asked)
        script = Script(
            [
                _sentence(like._replace(seed=like.seed + first + place), *pieces_words_manner)
                for place, pieces_words_manner in enumerate(
                    zip(sentences, words, manners, strict=True)
                )
            ],
            first,
            asked.volume * self._options.voices[voice].volume,
            left_out,
            continued=continued,
            in_parts=asked.in_parts,
            only_read=asked.only_read,
            timed=asked.timestamps is not None,
        )
        script = _within(script, *around) if any(around) else script
        return begun(script) if asked.only_beginning and self._speaks_parts else script

    def _silent(self, name: str, asked: SynthesisParameters) -> Utterance:
        """Return an utterance without symbols, in the voice *name* and as *asked*."""
        voice = self._options.voices[name]
        return Utterance(
            "",
            _prosody(voice, asked),
            voice.formants,
            asked.seed,
            self._speakers[name],
            chosen_voice(self._cloning, asked.speaker_embedding, asked.reference_audio),
        )

    def _language(self, asked: SynthesisParameters) -> str:
        return asked.language or self._options.languages[0]

    def _voice(self, name: str | None) -> str:
        voices = self._options.voices
        if name is not None and name not in voices:
            raise InvalidInput(f"expected one of: {', '.join(voices)}", field="voice")
        return name or next(iter(voices))

    def check(self, text: str, asked: SynthesisParameters) -> None:
        """Raise InvalidInput for a text that is too long, or a language that no voice speaks."""
        limit = self._options.max_characters
        if len(text) > limit:
            raise InvalidInput(f"The text has {len(text)} characters; at most {limit} are allowed")
        if asked.language is not None and asked.language not in self._options.languages:
            raise InvalidInput(
                f"expected one of: {', '.join(self._options.languages)}", field="language"
            )
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidInput("The text holds an unpaired surrogate") from exc


def _sentence(
    like: Utterance,
    pieces: Sequence[str],
    words: Sequence[Sequence[CountedWord]],
    manner: Passage,
) -> Sentence:
    """Return *pieces* as utterances that are *like* one, in their passage's manner."""
    like = like._replace(prosody=_moved(like.prosody, manner))
    return Sentence(
        [
            like._replace(symbols=piece, words=tuple(own))
            for piece, own in zip(pieces, words, strict=True)
        ],
        manner,
    )


def begun(script: Script) -> Script:
    """Return the beginning of *script*, about BEGINNING_SECONDS, with the rest; else all of it.

    It is cut between two words of its first breath.  Each part is spoken as in the whole.
    """
    first, *others = script.sentences
    piece = first.pieces[0] if first.pieces else None
    end = word_end(piece.symbols, _beginning_symbols(piece)) if piece else None
    if piece is None or end is None:
        return script
    said, unsaid = piece.symbols[:end], piece.symbols[end:]
    words, later = divide_words((said, unsaid), piece.words)
    beginning = piece._replace(symbols=said, words=tuple(words), after=unsaid + piece.after)
    rest = piece._replace(symbols=unsaid, words=tuple(later), before=piece.before + said)
    return script._replace(
        sentences=[Sentence([beginning], first.manner)],
        rest=script._replace(
            sentences=[
                Sentence([rest, *first.pieces[1:]], first.manner._replace(pause=0.0)),
                *others,
            ],
            left_out={},
            continued=True,
        ),
    )


def _beginning_symbols(piece: Utterance) -> int:
    """Return how many symbols take BEGINNING_SECONDS, with the half of EDGE_SECONDS before them."""
    seconds = BEGINNING_SECONDS / piece.prosody.duration
    return max(1, round((seconds - EDGE_SECONDS / 2) * SYMBOLS_PER_SECOND))


def _within(script: Script, before: str, after: str) -> Script:
    """Return *script*, which is one sentence, as a part of a breath."""
    (sentence,) = script.sentences
    pieces = list(sentence.pieces)
    if pieces:
        pieces[0] = pieces[0]._replace(before=before)
        pieces[-1] = pieces[-1]._replace(after=after)
    return script._replace(sentences=[sentence._replace(pieces=pieces)])


def _moved(prosody: Prosody, manner: Passage) -> Prosody:
    """Return *prosody* with a passage's own tempo and pitch."""
    return prosody._replace(
        duration=prosody.duration / manner.speed, pitch=prosody.pitch * manner.pitch
    )


def _jobs(sentence: Sentence, seconds: float) -> list[list[Utterance]]:
    """Return the pieces of *sentence* in groups of at most *seconds*, or of one piece.

    A pause without pieces is a group of its own.
    """
    if not sentence.pieces:
        return [[]] if sentence.manner.pause else []
    groups: list[list[Utterance]] = []
    room = 0.0
    for piece in sentence.pieces:
        if not groups or piece.seconds > room:
            groups.append([])
            room = seconds
        groups[-1].append(piece)
        room -= piece.seconds
    return groups


def _speaker(name: str, voice: VoiceOptions, network: SynthesisNetwork) -> str | None:
    """Return which of the network's speakers *voice* is.  Raises LoadError."""
    if network.speakers is None:
        if voice.speaker is not None:
            raise LoadError(f"voice {name}: speaker must be left out: this network has only one")
        return None
    speaker = voice.speaker or name
    if speaker not in network.speakers:
        some = ", ".join(sorted(network.speakers)[:10])
        raise LoadError(
            f"voice {name}: the checkpoint has no speaker {speaker}; expected one of: {some}"
        )
    return speaker


def _prosody(voice: VoiceOptions, asked: SynthesisParameters) -> Prosody:
    """Return the prosody of the emotion, times what was asked, times the voice's own."""
    emotion = EMOTIONS[asked.emotion or "neutral"]
    return emotion._replace(
        duration=emotion.duration / asked.speed,
        pitch=emotion.pitch * asked.pitch * voice.pitch,
    )
