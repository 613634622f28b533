"""An audio file that is decoded in a thread, block by block, no faster than it is read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, BinaryIO, Self

from sidecar.speech.audio_decoder import (
    SAMPLE_RATE,
    AudioDecoder,
    AudioProperties,
    DecodingBudget,
)
from sidecar.speech.voice_activity import BLOCK_SECONDS


class AudioSource:
    """A context manager; the file stays the caller's to close.

    Raises UnsupportedAudio, CorruptAudio, AudioTooLong and AudioTooLarge, naming *field*.
    """

    def __init__(
        self,
        file: BinaryIO,
        field: str,
        budget: DecodingBudget,
        in_thread: Callable[..., Awaitable[Any]],
        *,
        strict: bool = False,
    ) -> None:
        self._file = file
        self._field = field
        self._budget = budget
        self._in_thread = in_thread
        self._strict = strict
        self._samples = 0

    async def __aenter__(self) -> Self:
        self._decoder: AudioDecoder = await self._in_thread(
            AudioDecoder,
            self._file,
            field=self._field,
            max_seconds=self._budget.seconds,
            max_samples=self._budget.samples,
            block_seconds=BLOCK_SECONDS,
            strict=self._strict,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._in_thread(self._decoder.close)

    @property
    def facts(self) -> AudioProperties:
        """What the file says of itself."""
        return self._decoder.facts

    @property
    def warnings(self) -> list[str]:
        """What of the file cannot be heard; complete once all blocks were read."""
        return self._decoder.warnings

    @property
    def seconds(self) -> float:
        """How long what was decoded so far lasts."""
        return self._samples / SAMPLE_RATE

    async def blocks(self) -> AsyncIterator[bytes]:
        """s16le, mono, 16 kHz, in whole frames of voice activity but for the last block."""
        while (block := await self._in_thread(self._decoder.read_some)) != b"":
            if block is not None:
                self._samples += len(block) // 2
                yield block
