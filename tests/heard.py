"""Answers of TorchServe that a test awaits; the sidecar itself is called back."""

import asyncio
from typing import Any

from sidecar.torchserve.client import JobAsked, TorchServeClient
from sidecar.torchserve.job_connections import JobCall


class Heard:
    """A listener; `answer` is a future of what it is told by `call`."""

    call: JobCall | JobAsked

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def answered(self, *answer: Any) -> None:
        self.answer.set_result(answer)

    def failed(self, exc: Exception) -> None:
        self.answer.set_exception(exc)


async def predict(client: TorchServeClient, model: str, job: bytes) -> bytes:
    """Return TorchServe's answer to *job*.  Raises EngineRefused or EngineGone."""
    heard = Heard()
    heard.call = client.predict(model, job, 10, heard)
    return bytes((await heard.answer)[0])
