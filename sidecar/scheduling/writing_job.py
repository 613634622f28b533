"""Jobs that tell of their answers while these are still being made: texts, token by token.

The handler sends pieces as TorchServe's intermediate answers, and the answer to the job behind
them.  `handler_kit.pieces` is the handler's half.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec

from sidecar.errors import SidecarError, WorkerDied
from sidecar.scheduling.entry import Entry, Reply
from sidecar.scheduling.job import CONTENT_TYPE, JobAnswerHeader, MalformedAnswer
from sidecar.scheduling.job_runner import JOB_GRACE_SECONDS, Job, JobRunner, item_error
from sidecar.scheduling.runner import Running
from sidecar.torchserve.client import ForwardedRequest

MAGIC = b"\x00PCE"
NOTHING = msgspec.Raw(b"null")
_PREFIX = struct.Struct(">4sI")


class TextPiece(msgspec.Struct, frozen=True, array_like=True):
    """The next part of the text of the item *id*; *at* characters stand before it.

    *answer* is the item's whole answer, which ends its pieces; null before.
    """

    id: str
    at: int
    text: str
    answer: msgspec.Raw = NOTHING

    @property
    def is_last(self) -> bool:
        """Whether it has the answer."""
        return self.answer != NOTHING


_pieces = msgspec.json.Decoder(list[TextPiece])


class TextPieces(AsyncIterator[TextPiece]):
    """The pieces of one item on their way.  There are no more of them than a turn has tokens."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[TextPiece | SidecarError] = asyncio.Queue()

    def put(self, piece: TextPiece | SidecarError) -> None:
        """Add a piece, or why there will be no more."""
        self._waiting.put_nowait(piece)

    async def __anext__(self) -> TextPiece:
        """Return the next piece; the last one has the answer.  Raises why there is none."""
        piece = await self._waiting.get()
        if isinstance(piece, SidecarError):
            raise piece
        return piece


class BegunReply(Reply, frozen=True, gc=False):
    """The reply of an item of which only *pieces* are there yet."""

    pieces: TextPieces | None = None


class FrameReader:
    """Cuts pieces out of a job's answer as it arrives; *rest* is what no frame holds."""

    def __init__(self) -> None:
        self.rest = b""

    def read(self, data: bytes) -> Iterator[TextPiece]:
        """Yield the pieces that *data* completes.  Raises MalformedAnswer."""
        self.rest += data
        while self.rest.startswith(MAGIC) and len(self.rest) >= _PREFIX.size:
            _, length = _PREFIX.unpack_from(self.rest)
            end = _PREFIX.size + length
            if len(self.rest) < end:
                return
            frame, self.rest = self.rest[_PREFIX.size : end], self.rest[end:]
            try:
                yield from _pieces.decode(frame)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
                raise MalformedAnswer(f"unreadable pieces: {type(exc).__name__}") from exc


class WritingJobRunner(JobRunner):
    """Runs the jobs of a model that writes texts: entries are answered with their first piece."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[Entry, TextPieces] = {}

    def _ask(self, job: Job, data: bytes) -> Running:
        return asyncio.create_task(self._run(job, data))

    async def _run(self, job: Job, data: bytes) -> None:
        """Send *data*, pass the pieces on as they come, and tell *job* what comes behind them."""
        headers = [("Content-Type", CONTENT_TYPE)]
        request = ForwardedRequest(f"/predictions/{self._name_of(job)}", headers, data)
        try:
            answer = await self._read(request, job.batch)
        except Exception as exc:  # noqa: BLE001 - the job knows what to make of it
            job.failed(exc)
        else:
            job.answered(answer)

    def end(self, job: Job) -> None:
        """End *job*, and the texts of it that have begun and will not go on."""
        for entry in job.batch:
            if (pieces := self._begun.pop(entry, None)) is not None:
                pieces.put(WorkerDied("while it wrote", field="inputs"))
        super().end(job)

    async def _read(self, request: ForwardedRequest, batch: Sequence[Entry]) -> bytes:
        """Return what follows the pieces.  Raises EngineRefused, EngineGone or MalformedAnswer."""
        seconds = self._limits.seconds + JOB_GRACE_SECONDS
        async with self._client.forward(request, seconds) as response:
            answer = response.body
            if response.pieces is not None:
                reader = FrameReader()
                async for data in response.pieces:
                    for piece in reader.read(data):
                        self._pass_on(piece, batch)
                answer = reader.rest
            if response.status >= 300:
                response.body = answer
                raise response.refusal()
        return answer

    def _pass_on(self, piece: TextPiece, batch: Sequence[Entry]) -> None:
        """Give *piece* to whoever waits for it.  Raises MalformedAnswer."""
        place = int(piece.id) if piece.id.isdecimal() else len(batch)
        if place >= len(batch):
            raise MalformedAnswer("a piece of an item that is not in the job")
        entry = batch[place]
        pieces = self._begun.get(entry)
        if pieces is None:
            if entry.abandoned:  # nobody waits for it any more
                return
            pieces = self._begun[entry] = TextPieces()
            entry.answer(BegunReply(b"", "", len(batch), self._serial, 0, pieces=pieces))
        pieces.put(piece)

    def _answer(self, job: Job, header: JobAnswerHeader, bodies: Sequence[bytes]) -> None:
        super()._answer(job, header, bodies)
        for entry, item, body in zip(job.batch, header.items, bodies, strict=True):
            if (pieces := self._begun.pop(entry, None)) is not None:
                whole = TextPiece(item.id, 0, "", msgspec.Raw(body))
                pieces.put(whole if item.status == 200 else item_error(item))
