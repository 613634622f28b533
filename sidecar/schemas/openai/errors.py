"""An error as OpenAI's clients read it."""

from typing import Literal

import msgspec

ErrorType = Literal[
    "authentication_error",
    "invalid_request_error",
    "permission_error",
    "rate_limit_error",
    "server_error",
]


class ErrorFacts(msgspec.Struct):
    """*param* is the field, *code* a word for programs; null where there is none."""

    message: str
    type: ErrorType
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct):
    """Every error of the routes below /v1."""

    error: ErrorFacts
