"""Batches of requests to a custom handler, formed here: TorchServe sees one request for each.

Our worker takes it apart, and TorchServe's own code there handles the requests as if they had come
one by one.  So a batch need not wait for TorchServe to fill it, and nothing runs that was not
chosen in the last moment.  Where workers are not ours, `request_runner` sends single requests.
"""

import math
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

from sidecar.errors import EngineUnavailable, InternalError
from sidecar.scheduling.bursts import LEAST_PAUSE_SECONDS, Burst, Bursts
from sidecar.scheduling.entry import Entry
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.gathering import AT_ONCE
from sidecar.scheduling.job_format import JobAnswerHeader, MalformedAnswer, Timings
from sidecar.scheduling.job_runner import JOB_GRACE_SECONDS, SHORT_JOB_SECONDS, Job, JobRunner
from sidecar.scheduling.piece_stream import PieceStream
from sidecar.scheduling.plan import WAIT, Plan
from sidecar.scheduling.request_batch import (
    CONTENT_TYPE,
    OK,
    AnswerReader,
    BatchAnswer,
    RequestAnswer,
    encode_requests,
)
from sidecar.scheduling.runner import Running
from sidecar.scheduling.urgency import URGENT_STEPS
from sidecar.torchserve.forwarding import EngineResponse, ForwardedRequest

# After a request that was urgent beside others, no batch is sent ahead for so long, whichever is
# longer: the next urgent one would wait for it.
URGENT_SECONDS = 10.0
URGENT_BATCHES = 10
RETURN_SHARE = 0.25  # of a batch, for which the next one waits for an urgent client to ask again
ENGINE_FAILED = (500, 503, 507)
MODEL_GONE = "ModelNotFoundException"
VERSION_GONE = "ModelVersionNotFoundException"
_ANSWER_FORMAT = 1


class BatchCall:
    """The call of TorchServe for one batch, whose requests are answered as a whole or in pieces."""

    def __init__(self, runner: "BatchRunner", job: Job) -> None:
        self._runner = runner
        self._job = job
        self.streams: dict[int, PieceStream] = {}  # that have begun, by the request's place

    def answered(self, response: EngineResponse) -> None:
        """Take a whole answer, or TorchServe's refusal of the batch."""
        if response.status >= 300:
            self._runner.take_refusal(self._job, response)
            return
        try:
            (answer,) = AnswerReader(len(self._job.batch)).read(response.body)
        except (MalformedAnswer, ValueError) as exc:
            self._job.failed(MalformedAnswer(str(exc)))
        else:
            self._runner.finish_batch(self._job, answer)

    async def stream(self, response: EngineResponse) -> None:
        """Pass pieces on as they come.  Raises EngineGone and MalformedAnswer."""
        assert response.pieces is not None
        reader = AnswerReader(len(self._job.batch))
        async for data in response.pieces:
            for answer in reader.read(data):
                if answer.is_last:
                    self._runner.finish_batch(self._job, answer)
                else:
                    await self._pass_on(answer)
        if self._job in self._runner.jobs:
            raise MalformedAnswer("a batch without a last answer")

    def failed(self, exc: Exception) -> None:
        """Take what went wrong."""
        self._job.failed(exc)

    async def _pass_on(self, answer: BatchAnswer) -> None:
        """Give each request its piece.  Whoever is alone in the batch may hold the worker up."""
        for place, piece in answer.answers.items():
            stream = self.streams.get(place)
            if stream is None:
                stream = self.streams[place] = self._runner.begin_stream(
                    self._job.batch[place], piece
                )
            if len(self._job.batch) == 1:
                await stream.put(piece.body)
            else:
                stream.put_nowait(piece.body)


class BatchRunner(JobRunner):
    """Runs the batches of one model with a custom handler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bursts = Bursts(self._limits.items)
        self._joined: dict[Job, Burst] = {}
        self._calls: dict[Job, BatchCall] = {}
        self._seconds = self._limits.seconds + JOB_GRACE_SECONDS
        self._least_priority = math.inf  # in the last batch
        self._urgent_priority = math.inf  # of the last request that was urgent beside others
        self._urgent_back_until = -math.inf  # when its client has not asked again
        self._with_urgent_until = -math.inf  # until when urgent requests are likely to come

    def _count_slots(self) -> int:
        """Return how many batches may be in flight: one at a worker, and one on its way there."""
        return 2 * self.workers

    def plan(self, queue: EntryQueue) -> Plan:
        """Return whether to send a batch now, for which a slot is free.

        Short ones wait for their share of the crowd, as all short jobs do.  A handler that takes
        longer may take as long for one request as for many, so a batch waits for those who are
        likely to ask, and the next one leaves just before a worker is free: unless an urgent
        request may come meanwhile.
        """
        first = queue.first
        assert first is not None
        if not first.alone and self._mean_seconds >= SHORT_JOB_SECONDS:
            return self._plan_long(queue, first)
        if not first.alone:
            planned = self._plan_short(queue)
        else:
            planned = AT_ONCE if len(self.jobs) < self.workers else WAIT
        if planned.jobs:
            self._bursts.begin(1, self._clock(), crowd=self.in_flight + queue.waiting)
        return planned

    def _plan_long(self, queue: EntryQueue, first: Entry) -> Plan:
        now = self._clock()
        left = self._urgent_back_until - now
        if left > LEAST_PAUSE_SECONDS and first.priority < self._urgent_priority:
            return Plan(0, left)
        planned = self._bursts.plan(
            first.enqueued_at,
            workers=self.workers,
            in_flight=self.in_flight,
            waiting=queue.waiting,
            now=now,
            ahead=now > self._with_urgent_until,
        )
        self.most_entries = planned.jobs or self._limits.items
        self.most_with_urgent = self._urgent.most_entries
        return planned._replace(jobs=min(planned.jobs, 1))

    def start(self, members: Sequence[Entry]) -> None:
        """Start one batch.  Every entry of *members* is answered, refused, or queued again."""
        priorities = [entry.priority for entry in members]
        before, self._least_priority = self._least_priority, min(priorities)
        highest = max(priorities)
        if highest - min(before, self._least_priority) >= URGENT_STEPS:
            self._urgent_priority = highest
            seconds = max(URGENT_SECONDS, URGENT_BATCHES * self._mean_seconds)
            self._with_urgent_until = self._clock() + seconds
        super().start(members)

    def _send(self, job: Job) -> None:
        self._joined[job] = self._bursts.join()
        super()._send(job)

    def _encode(self, batch: Sequence[Entry]) -> bytes:
        requests = cast("Sequence[ForwardedRequest]", [entry.body for entry in batch])
        return encode_requests(requests, [entry.traceparent for entry in batch])

    def _ask(self, job: Job, data: bytes) -> Running:
        version = job.batch[0].version  # all of a batch are for one
        behind = "" if version is None else f"/{quote(version, safe='')}"
        path = f"/predictions/{self._model}{behind}"
        request = ForwardedRequest(path, [("Content-Type", CONTENT_TYPE)], data)
        call = self._calls[job] = BatchCall(self, job)
        return self._client.forwarding.send(request, self._seconds, call)

    def finish_batch(self, job: Job, answer: BatchAnswer) -> None:
        """Answer the entries of *job*, or try them again if the batch failed as a whole."""
        try:
            if answer.code != OK:
                self._after_failure(job, answer)
            else:
                header = JobAnswerHeader(_ANSWER_FORMAT, [], device="", precision="")
                header.timings = Timings(forward_ms=answer.seconds * 1000)
                self._finish(job, header, answer.answers)
        except Exception as exc:  # noqa: BLE001 - what it is makes no difference to the entries
            self.fail(job, exc)
        else:
            self.end(job)

    def _answer(self, job: Job, _: JobAnswerHeader, answers: Any) -> None:
        if len(answers) < len(job.batch):
            raise MalformedAnswer("a batch whose requests are not all answered")
        streams = self._calls[job].streams
        for place, entry in enumerate(job.batch):
            answer = answers[place]
            if (stream := streams.get(place)) is None:
                entry.answer(self._forwarded(answer))
            else:
                stream.put_nowait(answer.body)
                stream.end()

    def begin_stream(self, entry: Entry, piece: RequestAnswer) -> PieceStream:
        """Answer *entry* with a body whose first piece has come; return what takes all pieces."""
        stream = PieceStream(self._seconds)
        if entry.abandoned:
            stream.leave()
        entry.answer(self._forwarded(piece, stream))
        return stream

    def take_refusal(self, job: Job, response: EngineResponse) -> None:
        """Try the entries of *job* again after a failure; else pass on what TorchServe says."""
        refusal = response.refusal()
        if refusal.status in ENGINE_FAILED or refusal.kind == MODEL_GONE:
            job.failed(refusal)
            return
        if len(job.batch) > 1 and refusal.kind != VERSION_GONE:
            self._try_again(job.batch, InternalError(), alone=True)
        else:
            for entry in job.batch:
                entry.answer(self._forwarded(response))
        self.end(job)

    def _after_failure(self, job: Job, answer: BatchAnswer) -> None:
        """Try each entry again, alone: whose request made the batch fail is not said.

        Who was alone gets what TorchServe would have answered.
        """
        if len(job.batch) > 1:
            self._try_again(job.batch, InternalError(), alone=True)
        else:
            job.batch[0].answer(self._forwarded(answer.failure()))

    def end(self, job: Job) -> None:
        """End *job*; bodies of it that have begun and are not whole are cut."""
        now = self._clock()
        self._bursts.leave(self._joined.pop(job), now)
        if max(entry.priority for entry in job.members) >= self._urgent_priority:
            self._urgent_back_until = now + RETURN_SHARE * self._mean_seconds
        if (call := self._calls.pop(job, None)) is not None:
            for stream in call.streams.values():
                stream.cut(EngineUnavailable("the handler failed", field="inputs", retry_after=2))
        super().end(job)
