"""What TorchServe's own API answers."""

from typing import Literal

import msgspec

from sidecar.schemas.predict import ErrorBody


class TorchServeError(ErrorBody):
    """An error with the three fields that TorchServe's clients read, beside our own."""

    code: int
    type: str
    message: str


class Ping(msgspec.Struct):
    """TorchServe's word on its health."""

    status: Literal["Healthy", "Unhealthy"]
