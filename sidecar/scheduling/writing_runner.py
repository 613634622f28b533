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
from sidecar.scheduling.job_format import CONTENT_TYPE, JobAnswerHeader, MalformedAnswer
from sidecar.scheduling.job_runner import JOB_GRACE_SECONDS, Job, JobRunner, item_error
from sidecar.scheduling.runner import Running
from sidecar.torchserve.forwarding import EngineResponse, ForwardedRequest

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


class _WrittenJob:
    """A job whose answer may come in pieces; what comes behind them is told to *job*."""

    def __init__(self, runner: "WritingJobRunner", job: Job) -> None:
        self._runner = runner
        self._job = job

    def answered(self, response: EngineResponse) -> None:
        """Take what is no piece."""
        if response.status >= 300:
            self._job.failed(response.refusal())
        else:
            self._job.answered(response.body)

    async def stream(self, response: EngineResponse) -> None:
        """Pass the pieces on as they come.  Raises EngineGone and MalformedAnswer."""
        assert response.pieces is not None
        reader = FrameReader()
        async for data in response.pieces:
            for piece in reader.read(data):
                self._runner.pass_on(piece, self._job.batch)
        response.body = reader.rest
        self.answered(response)

    def failed(self, exc: Exception) -> None:
        """Take what went wrong."""
        self._job.failed(exc)


class WritingJobRunner(JobRunner):
    """Runs the jobs of a model that writes texts: entries are answered with their first piece."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[Entry, TextPieces] = {}

    def _ask(self, job: Job, data: bytes) -> Running:
        headers = [("Content-Type", CONTENT_TYPE)]
        request = ForwardedRequest(f"/predictions/{self._name_of(job)}", headers, data)
        seconds = self._limits.seconds + JOB_GRACE_SECONDS
        return self._client.forwarding.send(request, seconds, _WrittenJob(self, job))

    def end(self, job: Job) -> None:
        """End *job*, and the texts of it that have begun and will not go on."""
        for entry in job.batch:
            if (pieces := self._begun.pop(entry, None)) is not None:
                pieces.put(WorkerDied("while it wrote", field="inputs"))
        super().end(job)

    def pass_on(self, piece: TextPiece, batch: Sequence[Entry]) -> None:
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
