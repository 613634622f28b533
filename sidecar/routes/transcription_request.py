"""POST /transcribe's two forms of request, as one checked value with its file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from sidecar.routes.input_audio import inline_audio
from sidecar.schemas.inline_audio import no_audio
from sidecar.schemas.transcription import TranscriptionRequest
from sidecar.speech.service import SpeechService
from sidecar.web.admission import Admission
from sidecar.web.body import read_json
from sidecar.web.body_reader import is_form
from sidecar.web.uploads import Upload, opened_form

_request = msgspec.json.Decoder(TranscriptionRequest)


class TranscriptionCall(NamedTuple):
    """A checked request and its file.  *form*: it came as multipart."""

    request: TranscriptionRequest
    upload: Upload
    form: bool

    @property
    def field(self) -> str:
        """Where the audio was."""
        return "file" if self.form else "inputs"


@asynccontextmanager
async def read_request(
    admission: Admission, speech: SpeechService
) -> AsyncIterator[TranscriptionCall]:
    """The request; its file is there until the block ends.

    Raises, in this order: 413, 400, 401, 422; and 400 for what is no base64.
    """
    if is_form(admission.request):
        async with opened_form(admission, TranscriptionRequest) as (given, upload):
            yield TranscriptionCall(given, upload, form=True)
        return
    asked = await read_json(admission, _request, line_breaks=True)
    in_thread = speech.in_threads_of(admission.client)
    upload = await inline_audio(asked.inputs, "inputs", in_thread)
    yield TranscriptionCall(replace(asked, inputs=no_audio()), upload, form=False)
