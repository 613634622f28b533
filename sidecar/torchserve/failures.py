"""How calls of TorchServe fail: it has gone, or it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import msgspec

from sidecar.errors import exhaustion
from sidecar.torchserve.kept_connections import NotConnected


class EngineGone(Exception):
    """TorchServe cannot be reached, or hung up; *reached*: it may have begun with the request."""

    def __init__(self, message: str, *, reached: bool) -> None:
        super().__init__(message)
        self.reached = reached


class EngineOutOfReach(EngineGone):
    """We lack a descriptor or memory to ask it, which says nothing about TorchServe."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reached=False)


class EngineSlow(EngineGone):
    """TorchServe did not answer in time: it hangs, or the machine is busy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reached=True)


class EngineRefused(Exception):
    """TorchServe answered with an error; *status* says which, *kind* is its own name for it."""

    def __init__(self, status: int, kind: str = "", message: str = "") -> None:
        super().__init__(f"{status} {kind}: {message}")
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def wrong_key(self) -> bool:
        """Whether it is our token that TorchServe refuses."""
        return self.kind == "InvalidKeyException"


class _Refusal(msgspec.Struct):
    type: str = ""
    message: str = ""


def refusal_of(status: int, body: bytes) -> EngineRefused:
    """Return what TorchServe says in *body*; its kind is empty where a handler says it."""
    try:
        said = msgspec.json.decode(body, type=_Refusal)
    except msgspec.DecodeError:
        said = _Refusal()
    return EngineRefused(status, said.type, said.message)


def failure_of(exc: Exception, method: str, path: str) -> Exception:
    """Return EngineGone if *exc* says that a call got no answer, else *exc* itself."""
    if not isinstance(exc, aiohttp.ClientError | TimeoutError | OSError):
        return exc
    if exhaustion(exc) is not None:
        return EngineOutOfReach(f"{method} {path}: {exc}")
    reached = not isinstance(exc, aiohttp.ClientConnectorError | NotConnected)
    if reached and isinstance(exc, TimeoutError):
        return EngineSlow(f"{method} {path}: {type(exc).__name__}")
    return EngineGone(f"{method} {path}: {type(exc).__name__}", reached=reached)


@contextmanager
def telling_gone(method: str, path: str) -> Iterator[None]:
    """Raise EngineGone in place of what says that a call got no answer."""
    try:
        yield
    except Exception as exc:
        failure = failure_of(exc, method, path)
        if failure is exc:
            raise
        raise failure from exc
