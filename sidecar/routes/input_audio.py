"""Audio that came inside JSON, as a data URI or plain base64.  A path or an address is refused."""

import base64
import binascii
import io
import re

from sidecar.errors import InvalidInput
from sidecar.routes.uploads import InThread, Upload

_DATA_URI = re.compile(r"data:[\w.+/-]*(;[^,;]*)*;base64,")


async def inline_audio(inputs: str, field: str, in_thread: InThread) -> Upload:
    """The file in *inputs*.  Raises InvalidInput naming *field*."""
    data: bytes = await in_thread(_decode, inputs, field)
    return Upload(io.BytesIO(data), None, len(data))


def _decode(inputs: str, field: str) -> bytes:
    uri = _DATA_URI.match(inputs[:1000])
    try:
        return base64.b64decode(inputs[uri.end() if uri else 0 :], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(
            f"{field}: neither data:audio/…;base64,… nor plain base64; "
            "this server opens no path and no address"
        ) from exc
