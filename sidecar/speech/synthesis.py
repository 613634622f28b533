"""Text to PCM: one queue entry per sentence, the audio in order."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec

from sidecar.errors import InvalidInput
from sidecar.scheduling.entry import Entry, Reply
from sidecar.scheduling.scheduler import Scheduler
from sidecar.scheduling.work import Urgency, Work
from sidecar.schemas.synthesis import SynthesisParameters
from sidecar.speech.sentences import sentences
from sidecar.speech.voices import Speaker

NOTHING = "text: holds nothing that can be spoken"
SPACING_SECONDS = 0.05  # each sentence lets others pass that much more than the one before it
BYTES_PER_SAMPLE = 2
CLONING = ("speaker_embedding", "reference_audio")  # whose voice: sent only where they are given
_TO_THE_HANDLER = (
    *("voice", "speed", "pitch", "volume", "emotion", "seed", "normalize_text", "language"),
)


class Order(NamedTuple):
    """One text to speak."""

    text: str
    speaker: Speaker
    parameters: SynthesisParameters
    urgency: Urgency


class Spoken(NamedTuple):
    """The whole audio: s16le, mono."""

    pcm: bytes
    sample_rate: int
    replies: list[Reply]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.pcm) / (BYTES_PER_SAMPLE * self.sample_rate)


async def speak(scheduler: Scheduler, order: Order) -> Spoken:
    """All of the audio.  Raises what the scheduler raises, and the first sentence's error."""
    async with aclosing(_replies(scheduler, order, streamed=False)) as parts:
        replies = [reply async for reply in parts]
    return Spoken(
        b"".join(reply.body for reply in replies), replies[0].parameters["sample_rate"], replies
    )


def stream(scheduler: Scheduler, order: Order) -> AsyncGenerator[Reply, None]:
    """The audio sentence by sentence, the first as soon as it can be had; none of it is empty.

    The time-out counts anew for each.  Whoever stops reading closes the iterator: what is still
    queued never runs.
    """
    return _replies(scheduler, order, streamed=True)


async def _replies(
    scheduler: Scheduler, order: Order, *, streamed: bool
) -> AsyncGenerator[Reply, None]:
    running = scheduler.start(_work(order, streamed=streamed))
    try:
        silent = True
        for entry in running.entries:
            reply = await _spoken(entry)
            if reply.body:  # a sentence of signs that nobody says has none
                silent = False
                yield reply
            if streamed:
                running.renew()
        if silent:
            raise InvalidInput(NOTHING)
    finally:
        running.close()


async def _spoken(entry: Entry) -> Reply:
    """Raises InvalidInput with the handler's own sentence: it names the parameter."""
    try:
        return await entry.reply
    except InvalidInput as exc:
        raise InvalidInput(exc.detail.removeprefix("inputs: ")) from exc


def _work(order: Order, *, streamed: bool) -> Work:
    language = order.parameters.language or order.speaker.speech.languages[0]
    whole = order.speaker.speech.whole_text
    parts = [order.text] if whole else sentences(order.text, language)
    return Work(
        model=order.speaker.key,
        bodies=[part.encode() for part in parts],
        **order.urgency._asdict(),
        type="text",
        parameters=[_common(order)] if whole else list(_parameters(order, len(parts))),
        first_ahead=streamed,
        spacing=SPACING_SECONDS,
    )


def _parameters(order: Order, count: int) -> Iterator[dict[str, Any]]:
    """What the handler is told with each sentence."""
    common = _common(order)
    return ({**common, "index": index} for index in range(count))


def _common(order: Order) -> dict[str, Any]:
    asked = msgspec.structs.asdict(order.parameters)
    given = {name: asked[name] for name in CLONING if asked[name] is not None}
    return {name: asked[name] for name in _TO_THE_HANDLER} | given | {"voice": order.speaker.voice}
