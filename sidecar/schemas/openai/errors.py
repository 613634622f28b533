"""An error in the form of OpenAI's API."""

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
    """The error.  *param* is the field and *code* an identifier for programs; null without one."""

    message: str
    type: ErrorType
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct):
    """The body of every error of the routes below /v1."""

    error: ErrorFacts
