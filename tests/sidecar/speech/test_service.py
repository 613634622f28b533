"""What the service does for streams before their first samples come."""

import threading
from contextlib import AsyncExitStack

from sidecar.program import PROGRAM
from sidecar.speech.audio_encoder import StreamEncoder
from sidecar.speech.output_formats import FORMATS
from sidecar.speech.service import MOST_OPENED
from tests.sidecar.conftest import Client
from tests.waiting import until


class WatchedEncoder(StreamEncoder):
    """Tells when it is opened."""

    def __init__(self) -> None:
        super().__init__(FORMATS["mp3"], 24000, "high")
        self.opened = threading.Event()

    def open(self) -> None:
        super().open()
        self.opened.set()


async def test_encoders_are_opened_before_their_samples_come_but_not_too_many(
    client: Client,
) -> None:
    assert client.app is not None
    speech = client.app[PROGRAM].speech
    encoders = [WatchedEncoder() for _ in range(MOST_OPENED + 1)]
    async with AsyncExitStack() as stack:
        for encoder in encoders:
            stack.enter_context(encoder)
            await stack.enter_async_context(speech.opened_meanwhile(encoder))
        for encoder in encoders[:MOST_OPENED]:
            await until(encoder.opened.is_set)
    assert not encoders[-1].opened.is_set()
    with WatchedEncoder() as encoder:
        async with speech.opened_meanwhile(encoder):
            await until(encoder.opened.is_set)
