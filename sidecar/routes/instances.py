"""An instance of KServe's requests, as a custom handler gets it from TorchServe's own envelope.

Of an object, the fields are those of the handler's row, beside each other: `{"data": …, "target":
0}`.  TorchServe makes such rows of forms whose parts are JSON.
"""

import uuid
from collections.abc import Mapping

import msgspec

from sidecar.errors import SidecarError
from sidecar.routes.own_predictions import request_of
from sidecar.torchserve.forwarding import ForwardedRequest

WHOLE = ("data", "body")  # where handlers look for their input
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def request_of_instance(path: str, instance: bytes) -> ForwardedRequest | SidecarError:
    """Return the request to TorchServe's *path* for *instance*, which is JSON.

    An object without the fields of `WHOLE` is the row's `body` as well, which is where handlers
    find whatever is no object.
    """
    if not instance.startswith(b"{"):
        return request_of(path, instance)
    fields = {name: bytes(value) for name, value in _fields.decode(instance).items()}
    if not fields.keys() & set(WHOLE):
        fields["body"] = instance
    if not all(map(_can_name_a_part, fields)):
        fields = {"body": instance}
    boundary = uuid.uuid4().hex
    headers = [("Content-Type", f"multipart/form-data; boundary={boundary}")]
    return ForwardedRequest(path, headers, _form(fields, boundary.encode()))


def _can_name_a_part(name: str) -> bool:
    return bool(name) and name.isascii() and name.isprintable() and not set(name) & set('"\\;=')


def _form(fields: Mapping[str, bytes], boundary: bytes) -> bytes:
    """Return a form of *fields*, which are JSON.

    TorchServe looks at the type of a part only where that has a file name.
    """
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="json"\r\n'
        b"Content-Type: application/json\r\n\r\n%b\r\n" % (boundary, name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join(parts) + b"--%b--\r\n" % boundary
