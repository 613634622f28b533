"""What TorchServe's own API answers."""

from typing import Annotated, Literal

import msgspec

from sidecar.schemas.predict import ErrorBody


class TorchServeError(ErrorBody):
    """An error with the three fields that TorchServe's clients read, beside our own."""

    code: int
    type: str
    message: str


class KServeRequest(msgspec.Struct):
    """Each instance is one input, as /predict takes it."""

    instances: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(extra_json_schema={"minItems": 1}),  # the route counts them, with its limit
    ]


class KServePredictions(msgspec.Struct):
    """What the model made of each instance, in order."""

    predictions: list[msgspec.Raw]


class KServeExplanations(msgspec.Struct):
    """The handler's explanation of each instance, in order."""

    explanations: list[msgspec.Raw]


class Ping(msgspec.Struct):
    """The health of TorchServe, in its own words."""

    status: Literal["Healthy", "Unhealthy"]
