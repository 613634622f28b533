"""The fields that every inference request has in addition to OpenAI's."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.schemas.priority import Priority

ModelId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="Key, hub id or alias; OpenAI's names are aliases",
    ),
]


class OpenAIRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of this server, as for /predict."""

    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None
    priority: Priority = 0
    timeout: Annotated[float, Meta(gt=0, description="Seconds from arrival")] = 60.0
