"""Every refusal the sidecar can give, as a small tree that knows its own status.

Core code raises these and never sees HTTP.  They become answers in `sidecar.web.middleware`, in
`FastCall.refuse` on the fast path, and in `sidecar.rpc.call` for gRPC.  *error* is one sentence
for people.  *field* is what of the request is wrong, *rule* what was expected of it;
`SidecarError.detail` puts the two together.  *extra* holds further keys of the body
(`model_info`, `processing_time`).
"""

import errno
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self

from sidecar.validation import nearest

REFUSED = frozenset({401, 403, 429, 503})  # statuses of those who may ask again, or otherwise
NO_SUCH_MODEL = "no such model in the catalog"


def sentence(field: str | None, rule: str) -> str:
    """Return *rule* after the *field* it is about: ``timeout: must be at most 300 seconds``."""
    return rule if field is None else f"{field}: {rule}"


class SidecarError(Exception):
    """A request that cannot be answered as asked.  Subclasses set *status* and *error*."""

    status: int = 500
    error: str = "Internal server error"

    def __init__(
        self,
        rule: str = "",
        *,
        field: str | None = None,
        error: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.message = error or self.error
        self.field = field
        self.rule = rule or HTTPStatus(self.status).phrase
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        super().__init__(self.message, self.detail)

    @property
    def detail(self) -> str:
        """Return the sentence that names the field and the rule."""
        return sentence(self.field, self.rule)

    def renamed(self, field: str | None) -> Self:
        """Return the same refusal of another *field*; this one may be the answer to others too."""
        other = self.__class__.__new__(self.__class__)
        other.__dict__.update(self.__dict__, field=field)
        other.args = (other.message, other.detail)
        return other.with_traceback(self.__traceback__)


class FieldError(ValueError):
    """A field that a schema's own check refuses; it becomes `InvalidFields`."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(sentence(field, rule))
        self.field = field
        self.rule = rule


class MalformedRequest(SidecarError):
    """What came is not an HTTP request."""

    status = 400
    error = "The request is not valid HTTP"


class RequestTimeout(SidecarError):
    """The request did not arrive in time, or arrived too slowly."""

    status = 408
    error = "The request takes too long to arrive"


class UnknownExpectation(SidecarError):
    """The client expects something other than 100 Continue before it sends its body."""

    status = 417
    error = "The expectation of the request cannot be met"


class InvalidJson(SidecarError):
    """The body is not JSON."""

    status = 400
    error = "The request body is not valid JSON"


class InvalidBody(SidecarError):
    """The body's bytes are damaged before anything in it can be read."""

    status = 400
    error = "The request body is damaged"


class InvalidTarget(SidecarError):
    """The request's path or query cannot be read."""

    status = 400
    error = "The request's path is malformed"


class InvalidInput(SidecarError):
    """An input that the model cannot take."""

    status = 400
    error = "The model cannot take this input"


class HandlerRefused(SidecarError):
    """A custom handler answered an input with a status of its own."""

    error = "The model's handler refused the input"

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason, field="inputs")


class InputRefused(InvalidInput):
    """An input that the model's handler refused: because of *part* of it, or as a whole."""

    def __init__(self, reason: str, part: str | None = None) -> None:
        super().__init__(sentence(part, reason), field="inputs")
        self.reason = reason
        self.part = part


class NotAuthenticated(SidecarError):
    """No credential, or a wrong one.  *detail* is the same for every 401."""

    status = 401
    error = "This route requires a credential"

    def __init__(self, error: str | None = None, *, invalid: bool = False) -> None:
        challenge = 'Bearer error="invalid_token"' if invalid else "Bearer"
        super().__init__("Not authenticated", error=error, headers={"WWW-Authenticate": challenge})


class InsufficientScope(SidecarError):
    """A valid credential that does not permit this."""

    status = 403
    error = "The credential lacks the required scope"

    def __init__(self, needed: str) -> None:
        super().__init__(
            f"needs {needed}",
            field="scope",
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )


class ForbiddenOrigin(SidecarError):
    """A web page elsewhere, or a Host that is not ours."""

    status = 403
    error = "This Host or Origin is not allowed"


class ModelNotFound(SidecarError):
    """The model is unknown, disabled or not downloaded."""

    status = 404

    def __init__(
        self,
        name: str,
        rule: str = NO_SUCH_MODEL,
        *,
        field: str = "model_name",
        **info: Any,
    ) -> None:
        super().__init__(
            rule,
            field=field,
            error=f"Model '{name}' is not available. Check models.json configuration.",
            extra={"model_info": {"model": name, "available": False, **info}},
        )


class VersionNotFound(SidecarError):
    """No such version of a model, loaded or in the model store."""

    status = 404

    def __init__(self, key: str, version: str, rule: str | None = None) -> None:
        super().__init__(
            rule or f"{key} has no version {version}",
            field="version",
            error=f"Version '{version}' of model '{key}' is not available",
        )


class InvalidVersion(SidecarError):
    """A version cannot be changed so: the default cannot go, a broken one cannot be loaded."""

    status = 400
    error = "This cannot be done with this version"


class DefaultVersionKept(SidecarError):
    """The default version cannot go while there are others."""

    status = 403

    def __init__(self, key: str, version: str) -> None:
        super().__init__(
            f"{version} is the default; make another version the default first",
            field="version",
            error=f"Cannot remove default version for model {key}",
        )


class ArchiveNotFound(SidecarError):
    """What is to be registered is not an archive of the model store."""

    status = 404

    def __init__(self, archive: str, rule: str) -> None:
        super().__init__(rule, field="url", error=f"Model not found at: {archive}; {rule}")


class UnusableArchive(SidecarError):
    """An archive that cannot be read, or not be entered under its name."""

    status = 400

    def __init__(self, rule: str) -> None:
        super().__init__(rule, field="url", error=f"The archive cannot be used: {rule}")


class AlreadyRegistered(SidecarError):
    """The model has this version already."""

    status = 409

    def __init__(self, key: str, version: str) -> None:
        super().__init__(
            "unregister it first, or register the archive under another model_name",
            field="url",
            error=f"Model version {version} is already registered for model {key}",
        )


class WorkersNotStarted(SidecarError):
    """No workers of a model became READY; *reason* is why."""

    error = "The workers did not start"

    def __init__(self, key: str, version: str, reason: str) -> None:
        super().__init__(
            reason, error=f"Failed to start workers for model {key} version: {version}"
        )


class PayloadTooLarge(SidecarError):
    """The body is over the configured size."""

    status = 413
    error = "The request body is too large"


class UnsupportedEncoding(SidecarError):
    """The body has an encoding that this server does not decode."""

    status = 415
    error = "The encoding of the request body is not supported"

    def __init__(self, supported: Iterable[str]) -> None:
        names = ", ".join(supported)
        super().__init__(
            f"expected {f'one of: {names}, ' if names else ''}identity or none",
            field="Content-Encoding",
            headers={"Accept-Encoding": names or "identity"},
        )


class InvalidFields(SidecarError):
    """A field is missing, unknown, of the wrong type or out of range."""

    status = 422
    error = "The request has an invalid field"


class TooManyRequests(SidecarError):
    """A client, or all clients of a model together, exceed their limit."""

    status = 429
    error = "Too many requests"

    def __init__(self, rule: str, *, retry_after: int) -> None:
        super().__init__(rule, headers={"Retry-After": str(retry_after)})


class InternalError(SidecarError):
    """An exception inside a model or inside us; the log has it, the client does not."""


class Unavailable(SidecarError):
    """Try again later: base of every 503."""

    status = 503
    error = "The service is not available right now"

    def __init__(self, rule: str = "", *, retry_after: int = 1, **kwargs: Any) -> None:
        self.retry_after = retry_after
        super().__init__(rule, headers={"Retry-After": str(retry_after)}, **kwargs)


class EngineUnavailable(Unavailable):
    """TorchServe does not answer."""

    error = "The inference engine is not available"


class ModelNotReady(Unavailable):
    """The model is in the catalog, but no worker of it is READY."""

    error = "The model is not ready"


class NoRoom(Unavailable):
    """The model does not fit into memory, and no other can make room for it."""

    error = "There is no room for the model"


class ModelDownloading(Unavailable):
    """The model is on its way from a hub."""

    error = "The model is being downloaded"

    def __init__(self, name: str, download_id: str, retry_after: int) -> None:
        super().__init__(
            f"{name} is being downloaded",
            field="model_name",
            retry_after=retry_after,
            extra={
                "download_id": download_id,
                "model_info": {"model": name, "available": False, "state": "downloading"},
            },
        )


class DownloadNotFound(SidecarError):
    """No download has this id."""

    status = 404
    error = "There is no such download"

    def __init__(self) -> None:
        super().__init__("no download has this id", field="id")


class EntryRefused(SidecarError):
    """An entry of models.json that is wrong, or of which no archive can be built."""

    status = 409
    error = "The entry of models.json cannot be used"


class ModelInUse(SidecarError):
    """The change would take away a model that is in use."""

    status = 409
    error = "The model is in use"


class DownloadInTheWay(SidecarError):
    """Another download is in progress under the name that this one would have."""

    status = 409
    error = "Another download has this name"


class WorkerDied(Unavailable):
    """The worker died, even when the request was tried alone."""

    error = "The worker died while it handled this request"


class OutOfMemory(Unavailable):
    """The worker ran out of memory."""

    error = "The worker ran out of memory"


class QueueFull(Unavailable):
    """The queue is full: shed this request now rather than answer it too late."""

    error = "The queue is full"


class Overloaded(Unavailable):
    """The machine is too full: shed this request before others suffer."""

    error = "The server is overloaded"


class Draining(Unavailable):
    """The sidecar is stopping and takes no new work."""

    error = "The server is shutting down"


class TooManyConnections(Unavailable):
    """The limit of open connections is reached."""

    error = "The server has too many connections"


class Exhausted(Unavailable):
    """The machine has run out of what the request needs: descriptors, memory or disk space."""

    error = "The server has run out of resources"


_USED_UP = {
    errno.EMFILE: "the server has too many files and connections open",
    errno.ENFILE: "the machine has too many files and connections open",
    errno.ENOBUFS: "the machine has no memory left for connections",
    errno.ENOMEM: "the machine has no memory left",
    errno.ENOSPC: "there is no room left on the disk",
    errno.EDQUOT: "there is no room left on the disk",
}
_NO_THREAD = "can't start new thread"  # Python has no kind of its own for it


def exhaustion(exc: BaseException) -> Exhausted | None:
    """Return the refusal for what an exhausted machine raised; None for any other exception."""
    if isinstance(exc, MemoryError):
        return Exhausted(_USED_UP[errno.ENOMEM], retry_after=5)
    if isinstance(exc, RuntimeError) and str(exc) == _NO_THREAD:
        return Exhausted("the machine lets this server start no more threads", retry_after=5)
    number = exc.errno if isinstance(exc, OSError) else None
    detail = None if number is None else _USED_UP.get(number)
    return None if detail is None else Exhausted(detail, retry_after=5)


class RequestTimedOut(SidecarError):
    """The request's own time-out passed.  The job it may be in goes on without it."""

    status = 504
    error = "Request timed out"

    def __init__(self, timeout: float, waited: float) -> None:
        super().__init__(
            f"no answer within {timeout:g} s",
            field="timeout",
            extra={"processing_time": round(waited, 6)},
        )


class SpeechRefusal(InvalidInput):
    """A speech request that this model cannot serve."""


class TextTooLong(InvalidInput):
    """The text is longer than one request may hold."""

    error = "The text is too long"

    def __init__(self, field: str, limit: int, length: int) -> None:
        super().__init__(
            f"{length} characters, the limit is {limit}",
            field=field,
            error=f"Text too long: at most {limit} characters",
            extra={"max_length": limit, "current_length": length},
        )


class SpeechTooLong(InvalidInput):
    """A text of permitted length that would take too long to speak."""

    error = "The speech would be too long"

    def __init__(self, max_seconds: float, seconds: float) -> None:
        super().__init__(
            f"would be about {seconds:.0f} s of speech, at most {max_seconds:g} s are allowed",
            field="text",
            error=f"Speech too long: at most {max_seconds:g} seconds",
            extra={"max_speech_seconds": max_seconds, "speech_seconds": round(seconds, 1)},
        )


class UnknownVoice(SidecarError):
    """No such voice, in this model or in any."""

    status = 404

    def __init__(self, voice: str, known: Sequence[str]) -> None:
        names = list(dict.fromkeys(known))
        super().__init__(
            f"expected one of: {', '.join(names)}{nearest(voice, names)}",
            field="voice",
            error=f"Voice '{voice}' is not available",
            extra={"supported_voices": names},
        )


class InvalidForm(SidecarError):
    """The body is not a multipart form."""

    status = 400
    error = "The request body is not a valid multipart form"


class UnsupportedAudio(SidecarError):
    """A file of an unsupported kind, or without audio."""

    status = 400
    error = "This audio format is not supported"

    def __init__(self, field: str, rule: str, supported: Sequence[str]) -> None:
        super().__init__(rule, field=field, extra={"supported_formats": list(supported)})


class CorruptAudio(SidecarError):
    """A file of a supported kind that cannot be decoded."""

    status = 400
    error = "The audio file is damaged"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule, field=field)


class AudioTooLong(SidecarError):
    """The audio is longer than allowed.

    *file_seconds*: what the file says of itself, if anything.
    """

    status = 400
    error = "The audio is too long"

    def __init__(self, field: str, max_seconds: float, file_seconds: float | None) -> None:
        super().__init__(
            f"the limit is {max_seconds:g} s",
            field=field,
            error=f"Audio too long: at most {max_seconds:g} seconds",
            extra={"max_duration": max_seconds, "file_duration": file_seconds},
        )


class AudioTooLarge(SidecarError):
    """The audio would take too long to decode: its duration times rate times channels."""

    status = 400
    error = "The audio takes too long to decode"

    def __init__(self, field: str, max_samples: float) -> None:
        limit = round(max_samples / 1e6)
        super().__init__(
            f"at most {limit} million samples are read, those of all channels together; "
            "use a lower sample rate or fewer channels",
            field=field,
            extra={"max_megasamples": limit},
        )


class InvalidLogName(SidecarError):
    """A name that no log file can have."""

    status = 400
    error = "This is not the name of a log file"


class LogNotFound(SidecarError):
    """There is no log file of this name."""

    status = 404
    error = "There is no such log file"


def refusals(kind: type[SidecarError] = SidecarError) -> set[type[SidecarError]]:
    """Return the errors, *kind* and those below it, whose status is one of REFUSED."""
    found = {kind} if kind.status in REFUSED else set()
    return found.union(*(refusals(each) for each in kind.__subclasses__()))
