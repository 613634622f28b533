"""Text to PCM: one queue entry per sentence, the audio in order.

What a text becomes when it is read aloud, only the handler knows: "$1m" is two words, a digit six
sounds.  So a text that could be too long is first read and not spoken (`only_read`): the handler
answers its script, in parts of one job's length, each with its seconds.  A shorter text is spoken
sentence by sentence at once; one of its sentences that does not fit into its job comes back as a
script too.  Of a stream's first sentence about a second is made first, and the reply that holds it
has the script of the rest, which goes on in the same breath: when many clients come at once, each
hears something soon.  Only a few parts are queued beyond the one that is due, one at first and more
as more have come, and each of them lets others pass until the parts before it would have been
played: a short text does not wait for a long one, which still proceeds as fast as people listen.
"""

import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import msgspec

from sidecar.errors import InputRefused, InvalidInput, QueueFull, SpeechTooLong
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import (
    InferenceRequest,
    PendingRequest,
    Scheduler,
    SchedulingOptions,
)
from sidecar.schemas.model_spec import CLONING
from sidecar.schemas.synthesis import SpokenWord, SynthesisParameters
from sidecar.speech.joint_start import JointStart
from sidecar.speech.sentences import MAX_CHARACTERS, TextPart, text_parts
from sidecar.speech.voices import Speaker
from sidecar.telemetry.prometheus import SpeechMetrics

AHEAD = 8  # parts that are queued or in flight
BEGINNING_SECONDS = 1.0  # of a stream, about, that the handler makes before the rest
SECONDS_PER_CHARACTER = 1.25  # of speech, at most: "W" is 0.6, "|" is 0.9
SECONDS_PER_SIGN = 6.0  # the same of a character beyond Latin-1, which is read by its name
SECONDS_PER_LETTER = 0.25  # the same in a word of small letters that is not spelled out
SECONDS_PER_STOP = 1.0  # the same of what ends a sentence: with it another one begins
ENGLISH = frozenset({"en", "eng"})
READING_SECONDS = 0.5  # for which a reading lets others pass
CHARACTERS_PER_SECOND = 15.0  # of ordinary text, to guess a sentence's length
BYTES_PER_SAMPLE = 2
# What encloses text may enclose several sentences; letters of other scripts are told before the
# first byte of a stream.  "<" may begin a tag, "[" a link.
_READ_WHOLE = re.compile(r"[*_~`<\[]|==|[^\W\d_\x00-\u024f\u1e00-\u1eff]")
_BEYOND_LATIN_1 = re.compile(r"[^\x00-\xff]")
# A word without a vowel is spelled out or stands for others: "rpm".
_WORD = re.compile(
    r"(?<!\S)(?=[A-Za-z]*[AEIOUYaeiouy])[A-Z]?[a-z]*(?:'[a-z]{1,2})?,?(?:[.!?]|\s|\Z)"
)
_STOPS = (".", "!", "?", "\n")
_TO_THE_HANDLER = (
    "voice",
    "speed",
    "pitch",
    "volume",
    "emotion",
    "seed",
    "normalize_text",
    "language",
)


class SynthesisCall(NamedTuple):
    """One text to speak, of which at most *max_seconds* of speech may come."""

    text: str
    speaker: Speaker
    parameters: SynthesisParameters
    scheduling: SchedulingOptions
    max_seconds: float


LeftOut = dict[str, list[str]]  # words of a text that are not in its audio, by their scripts
LEFT_OUT = "text: left out what the voice cannot say"


def warnings(left_out: LeftOut) -> list[str]:
    """Return one sentence for each script whose words are not in the audio."""
    return [f"{LEFT_OUT}: {', '.join(words)} ({script})" for script, words in left_out.items()]


class SynthesizedSpeech(NamedTuple):
    """The whole audio: s16le, mono; it lasts *seconds*."""

    pcm: bytes
    sample_rate: int
    seconds: float
    replies: list[Reply]
    left_out: LeftOut
    words: list[SpokenWord]


class ScriptPart(msgspec.Struct, frozen=True):
    """What the handler made of some text.

    *seconds* is about how long it will be; *script* is sent back to have it spoken.
    """

    seconds: float
    script: msgspec.Raw


_parts = msgspec.json.Decoder(list[ScriptPart])


class SynthesisPart(NamedTuple):
    """What one queue entry holds; *seconds* is about how long it will be."""

    body: bytes
    type: Literal["text", "script", "json"]
    parameters: dict[str, Any]
    seconds: float

    @property
    def beginning(self) -> "SynthesisPart":
        """The same, of which the rest may follow later."""
        return self._replace(
            parameters=self.parameters | {"only_beginning": True},
            seconds=min(self.seconds, BEGINNING_SECONDS),
        )


async def speak(speaking: "SpeechSynthesis") -> SynthesizedSpeech:
    """Return all of the audio.

    Raises what the scheduler raises, SpeechTooLong, and the first sentence's error.
    """
    async with aclosing(speaking.replies()) as parts:
        replies = [reply async for reply in parts]
    pcm = b"".join([reply.body for reply in replies])
    sample_rate = replies[0].parameters["sample_rate"]
    return SynthesizedSpeech(
        pcm,
        sample_rate,
        len(pcm) / (BYTES_PER_SAMPLE * sample_rate),
        replies,
        speaking.left_out,
        speaking.words,
    )


class SpeechSynthesis:
    """One text on its way through the voice.

    *joint_start*: it is a stream, which begins together with others.  The beginning of the first
    sentence is made alone, as soon as it can be had, and the time-out counts anew for each part.
    *left_out* is known when all is spoken; for English before the first.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        call: SynthesisCall,
        metrics: SpeechMetrics,
        *,
        joint_start: JointStart | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._call = call
        self._metrics = metrics
        self._joint_start = joint_start
        self._streamed = joint_start is not None
        self._clock = clock
        self._came = 0  # parts
        self._seconds = 0.0  # of speech that is known to come
        self._heard = 0.0  # when what is queued would have been played, on the clock
        self._pending: deque[PendingRequest] = deque()
        self._spoken_seconds = 0.0
        self.left_out: LeftOut = {}
        self.words: list[SpokenWord] = []  # of what was yielded, where the client asked

    @property
    def seconds(self) -> float:
        """How much was yielded."""
        return self._spoken_seconds

    async def replies(self) -> AsyncGenerator[Reply, None]:
        """Yield the parts' audio, in order; none of it is empty.

        Whoever stops reading closes the iterator: what is still queued never runs.  Raises what
        the scheduler raises, InvalidInput and SpeechTooLong.
        """
        silent, started = True, self._clock()
        try:
            is_read, parts = self._parts()
            if self._joint_start is not None:
                speaker = self._call.speaker
                await self._joint_start.wait(speaker.key, speaker.spec.inference.max_batch_size)
            waiting = deque(await self._read(parts) if is_read else parts)
            while waiting or self._pending:
                self._send(waiting)
                reply = await self._next()
                if reply.parameters.get("unspoken"):
                    self._start_first(self._scripts([reply]))
                    continue
                if reply.body:  # a sentence of signs that nobody says has none
                    if silent and self._streamed:
                        waited = self._clock() - self._call.scheduling.arrived
                        self._metrics.first_audio.of(self._call.speaker.key).observe(waited)
                    silent = False
                    self._note_words(reply)
                    yield reply
                self._start_first(self._rest(reply))  # others' beginnings have gone before it
            if silent:
                raise InvalidInput("holds nothing that can be spoken", field="text")
            taken = self._clock() - started
            self._metrics.factor.of(self._call.speaker.key).observe(taken / self._spoken_seconds)
        finally:
            for pending in self._pending:
                pending.close()

    def _note_words(self, reply: Reply) -> None:
        """Note when the words in *reply* are spoken, counted from the beginning of the audio."""
        began = self._spoken_seconds
        self.words += [
            SpokenWord(word, round(began + start, 3), round(began + end, 3))
            for word, start, end in reply.parameters.get("words", ())
        ]
        rate: int = reply.parameters["sample_rate"]
        seconds = len(reply.body) / (BYTES_PER_SAMPLE * rate)
        self._spoken_seconds += seconds
        self._metrics.spoken.add(self._call.speaker.key, amount=seconds)

    def _parts(self) -> tuple[bool, list[SynthesisPart]]:
        """Return what is to be spoken, or read before that, and whether it is the latter."""
        call, common = self._call, _common(self._call)
        speech = call.speaker.speech
        if speech.whole_text:
            return False, [SynthesisPart(call.text.encode(), "text", common, call.max_seconds)]
        language = call.parameters.language or speech.languages[0]
        if call.parameters.input_type == "ssml" or is_read_whole(call.text, language):
            whole = common | {"only_read": True}
            return True, [SynthesisPart(call.text.encode(), "text", whole, READING_SECONDS)]
        parts = text_parts(call.text, language)
        if longest_speech(call.text) / call.parameters.speed <= call.max_seconds:
            return False, list(_texts(parts, common))
        return True, list(_readings(parts, common))

    async def _read(self, readings: Iterable[SynthesisPart]) -> list[SynthesisPart]:
        """Have a text read but not spoken; return the parts of its script.

        Raises SpeechTooLong for more than is allowed.
        """
        for piece in readings:
            self._pending.append(self._start(piece))
        replies = [await self._next() for _ in list(self._pending)]
        self._heard = 0.0
        return self._scripts(replies)

    def _scripts(self, replies: Iterable[Reply]) -> list[SynthesisPart]:
        """Return the parts of the scripts in *replies*.  Raises SpeechTooLong."""
        parts = [part for reply in replies for part in _parts.decode(reply.body)]
        self._seconds += sum(part.seconds for part in parts)
        if self._seconds > self._call.max_seconds:
            raise SpeechTooLong(self._call.max_seconds, self._seconds)
        return self._of_scripts(parts)

    def _rest(self, reply: Reply) -> list[SynthesisPart]:
        """Return what is still to be spoken of the part that *reply* is only the beginning of."""
        rest = reply.parameters.get("rest")
        return self._of_scripts(_parts.decode(msgspec.json.encode(rest))) if rest else []

    def _of_scripts(self, parts: Iterable[ScriptPart]) -> list[SynthesisPart]:
        common = _common(self._call)
        return [SynthesisPart(bytes(part.script), "script", common, part.seconds) for part in parts]

    def _send(self, waiting: deque[SynthesisPart]) -> None:
        """Queue as many parts as may be ahead, fewer if the queue has no room.

        Of a stream that begins those are few: others, who have heard nothing yet, need the
        processor.  Raises QueueFull when nothing is pending.
        """
        is_first = self._streamed and not self._came
        ahead = min(AHEAD, 2 ** max(0, self._came - 1)) if self._streamed else AHEAD
        while waiting and len(self._pending) < ahead:
            part = waiting[0]
            if is_first and not self._call.speaker.speech.whole_text:
                part = part.beginning
            try:
                self._pending.append(self._start(part))
            except QueueFull:
                if not self._pending:
                    raise
                return
            waiting.popleft()

    def _start_first(self, parts: Iterable[SynthesisPart]) -> None:
        """Queue *parts* to be spoken before all that is pending."""
        for place, part in enumerate(parts):
            self._pending.insert(place, self._start(part))

    def _start(self, piece: SynthesisPart) -> PendingRequest:
        now = self._clock()
        self._heard = max(self._heard, now) + piece.seconds
        request = InferenceRequest(
            model=self._call.speaker.key,
            bodies=[piece.body],
            **self._call.scheduling._asdict(),
            type=piece.type,
            parameters=[piece.parameters],
            delay=self._heard - now,
        )
        pending = self._scheduler.start(request)
        if self._came and self._streamed:
            pending.renew()
        return pending

    async def _next(self) -> Reply:
        """Return the reply that is due.  Raises InvalidInput for the field that is refused."""
        try:
            reply = await self._pending[0].entries[0].reply
        except InputRefused as exc:
            raise InvalidInput(exc.reason, field=exc.part) from exc
        self._pending.popleft().close()
        for script, words in reply.parameters.get("left_out", {}).items():
            known = self.left_out.setdefault(script, [])
            known += [word for word in words if word not in known]
        if self._streamed and not reply.parameters.get("unspoken"):
            self._came += 1
            for pending in self._pending:
                pending.renew()
        return reply


def _texts(parts: Sequence[TextPart], common: dict[str, Any]) -> Iterator[SynthesisPart]:
    """Return each part by itself, to be spoken at once."""
    return (
        SynthesisPart(
            part.text.encode(),
            "text",
            {**common, "index": index, "continued": part.continued},
            len(part.text) / CHARACTERS_PER_SECOND,
        )
        for index, part in enumerate(parts)
    )


def _readings(parts: Sequence[TextPart], common: dict[str, Any]) -> Iterator[SynthesisPart]:
    """Yield groups of parts that are read together, and not spoken yet."""
    groups: list[list[TextPart]] = []
    for part in parts:
        size = sum(len(each.text) for each in groups[-1]) if groups else 0
        if not groups or part.continued or size + len(part.text) > MAX_CHARACTERS:
            groups.append([])
        groups[-1].append(part)
    firsts = accumulate(map(len, groups), initial=0)
    for first, group in zip(firsts, groups, strict=False):
        parameters = {"index": first, "continued": group[0].continued, "only_read": True}
        body = msgspec.json.encode([part.text for part in group])
        yield SynthesisPart(body, "json", common | parameters, READING_SECONDS)


def longest_speech(text: str) -> float:
    """Return how many seconds *text* takes at most, at the usual tempo.

    Prose is told from figures, signs and abbreviations, so that few texts must be read before the
    first of their sentences can be spoken.
    """
    words: list[str] = _WORD.findall(text)
    letters = sum(map(len, words))
    stops = sum(word.endswith(_STOPS) for word in words)
    signs: int = len(_BEYOND_LATIN_1.findall(text))
    return (
        SECONDS_PER_LETTER * letters
        + SECONDS_PER_STOP * stops
        + SECONDS_PER_SIGN * signs
        + SECONDS_PER_CHARACTER * (len(text) - letters - signs)
    )


def is_read_whole(text: str, language: str) -> bool:
    """Return whether the sentences of *text* may not be read one by one.

    Only English is normalised, so only there marks and other scripts matter.
    """
    return is_english(language) and _READ_WHOLE.search(text) is not None


def is_english(language: str) -> bool:
    """Return whether *language*, a code such as en-US or eng, is English.

    The handler has the same rule (`is_english` of `synthesis_kit/text/reading.py`).  A test keeps
    them equal.
    """
    return language.lower().partition("-")[0] in ENGLISH


def _common(call: SynthesisCall) -> dict[str, Any]:
    """Return what the handler is told with each part."""
    asked = msgspec.structs.asdict(call.parameters)
    given = {name: asked[name] for name in CLONING if asked[name] is not None}
    told = {name: asked[name] for name in _TO_THE_HANDLER}
    if call.parameters.input_type != "text":
        given["input_type"] = call.parameters.input_type
    if call.parameters.timestamps:
        given["timestamps"] = call.parameters.timestamps
    if call.parameters.pronunciations:
        given["pronunciations"] = call.parameters.pronunciations
    return told | given | {"voice": call.speaker.voice, "in_parts": True}
