"""Answers of TorchServe that a test awaits; the sidecar itself is called back."""

import asyncio

from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.job_connections import JobCall


class Heard:
    """A listener; `answer` is a future of what it is told by `call`."""

    call: JobCall

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def answered(self, body: bytes) -> None:
        self.answer.set_result(body)

    def failed(self, exc: Exception) -> None:
        self.answer.set_exception(exc)


async def predict(client: TorchServeClient, model: str, job: bytes) -> bytes:
    """Return TorchServe's answer to *job*.  Raises EngineRefused or EngineGone."""
    heard = Heard()
    heard.call = client.jobs.send(model, job, 10, heard)
    return await heard.answer
