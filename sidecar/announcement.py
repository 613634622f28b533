"""What the terminal says at the start.  Every command in it works as it is printed."""

import asyncio
import json
import math
import shlex
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from sidecar.access.origins import answered_hosts
from sidecar.access.signing_keys import uses_development_secret
from sidecar.models.model import Model
from sidecar.program import Program
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import ENVIRONMENT_PREFIX, Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
FAVOURITE = "example"  # the first model that is proposed, where there is one
MOST_NUMBERS = 20  # of an input that is proposed
PATIENCE_SECONDS = 3.0  # with a TorchServe that is not ours, before it is said who is waited for
TEXT_TASKS = frozenset(
    {"embedding", "text_classification", "token_classification", "text_generation"}
)
BEARER = '-H "Authorization: Bearer $TOKEN"'

Say = Callable[[str], None]


async def announce(program: Program, say: Say = print) -> None:
    """Say where to go, once the models can answer; before that, what is waited for or is wrong."""
    reconciler, settings = program.reconciler, program.settings
    with suppress(OSError):  # perhaps nobody reads our output any more
        say(starting(settings))
        if (found := offered(settings, program.catalog.found)) is not None:
            say(found)
        if settings.torchserve == "external":
            await _say_who_is_waited_for(program, say)
        await reconciler.wait_tried()
        if not reconciler.settled:
            say(not_ready(settings, program.models.troubles()))
        await reconciler.wait_settled()
        loaded = [model for model in program.models.values() if model.answers]
        say(ready(settings, loaded, program.models.troubles()))


async def _say_who_is_waited_for(program: Program, say: Say) -> None:
    for _ in range(int(PATIENCE_SECONDS / 0.1)):
        if program.engine.up:
            return
        await asyncio.sleep(0.1)
    say(await asyncio.to_thread(waiting, program.settings))


def starting(settings: Settings) -> str:
    """Return what is said at the start; where others can call, by which names they may."""
    lines = [f"Starting on {_url(settings)} ..."]
    if settings.host not in LOOPBACK:
        hosts = answered_hosts(settings.allowed_hosts)
        lines.append(f"Answers requests to {hosts}; SIDECAR_ALLOWED_HOSTS adds names")
    if settings.torchserve_management_port is not None:
        management = msgspec.structs.replace(settings, port=settings.torchserve_management_port)
        lines.append(f"TorchServe's management API is on {_url(management)}, for tokens with admin")
    return "\n".join(lines)


def offered(settings: Settings, found: Collection[str]) -> str | None:
    """Return what is said of the archives that are served without an entry of models.json."""
    if not settings.offers_archives:
        return None
    names = ", ".join(sorted(found)) or "none yet"
    return (
        f"Serves the archives in {settings.model_store} that no entry names: {names} "
        "(SIDECAR_SERVE_ARCHIVES=false turns that off)"
    )


def waiting(settings: Settings) -> str:
    """Return what is said while a TorchServe that somebody else runs does not answer."""
    lines = [f"Waiting for TorchServe at {settings.inference_url} (SIDECAR_INFERENCE_URL)"]
    keys = settings.torchserve_key_file
    if keys is not None and not keys.exists():
        lines.append(
            f"  its tokens are read from {keys} (SIDECAR_TORCHSERVE_KEY_FILE), which is not there"
        )
    lines.append("  scripts/serve starts one of its own instead")
    return "\n".join(lines)


def not_ready(settings: Settings, troubles: dict[str, str]) -> str:
    """Return what is said when models cannot be loaded, and that keeps the server from ready."""
    why = (
        "SIDECAR_REQUIRE_ALL_MODELS=false lets the others count as ready"
        if settings.requires_all_models
        else "none of the models that are to be loaded can be"
    )
    return (
        f"\nNot ready: {_url(settings)}/readyz is red until these can be loaded; {why}"
        f"{_listed(troubles)}\n"
    )


def ready(settings: Settings, loaded: list[Model], troubles: dict[str, str]) -> str:
    """Return what is said when the server is ready: where to go, and what is not there."""
    url = _url(settings)
    lines = ["", f"Ready: {url}"]
    if settings.require_authentication:
        lines.append(f"  token    export TOKEN=$({_token_command(settings)})")
    if (call := _call(settings, loaded)) is not None:
        lines.append(f"  try      {call}")
    lines.append(f"  look     {url}/docs (every route, with forms)")
    if not settings.require_authentication:
        lines.append(f"  token    {_token_command(settings)} (for {url}/stats)")
    lines.append("  stop     Ctrl-C")
    if troubles:
        lines.append(f"Not served:{_listed(troubles)}")
    return "\n".join([*lines, ""])


def _listed(troubles: dict[str, str]) -> str:
    return "".join(f"\n  {key}: {text}" for key, text in troubles.items())


def _url(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _token_command(settings: Settings) -> str:
    """Return a command that prints a credential for /stats, in a shell without our variables.

    Only the secret that development keeps in its state folder can sign there; an API key can be
    made with any settings.
    """
    if uses_development_secret(settings):
        variables: dict[str, Path | None] = {"STATE_DIR": settings.state_dir}
        command = "scripts/token create --subject me --scope stats --hours 1"
    else:
        variables = {"STATE_DIR": settings.state_dir, "API_KEYS_FILE": settings.api_keys_file}
        command = "scripts/token key create --name me --scope stats --days 1"
    defaults = {"STATE_DIR": Settings().state_dir, "API_KEYS_FILE": None}
    set_ones = [
        f"{ENVIRONMENT_PREFIX}{name}={shlex.quote(str(_absolute(path)))} "
        for name, path in variables.items()
        if path is not None and path != defaults[name]
    ]
    return "".join([*set_ones, command])


def _absolute(path: Path) -> Path:
    return path.absolute()


def _call(settings: Settings, loaded: list[Model]) -> str | None:
    """Return a request to a model that answers; None when none can be made up in a line."""
    first = sorted(loaded, key=lambda model: (model.key != FAVOURITE, model.spec.load_priority))
    for model in first:
        inputs = _inputs(model.key, model.spec)
        if inputs is not None:
            body = shlex.quote(json.dumps({"model_name": model.key, "inputs": inputs}))
            bearer = f" {BEARER}" if settings.require_authentication else ""
            return f"curl {_url(settings)}/predict{bearer} -d {body}"
    return None


def _inputs(key: str, spec: ModelSpec) -> Any:
    """Return an input that a model surely takes; None where that cannot be told."""
    if key == FAVOURITE and spec.source == "builtin":
        return [1, 2, 3, 4, 5]
    if spec.task in TEXT_TASKS:
        return "Hello, how are you?"
    shape = spec.handler_options.get("input", {}).get("shape")
    if spec.task != "tensor" or not shape or math.prod(shape) > MOST_NUMBERS:
        return None
    numbers: Any = 1
    for size in reversed(shape):
        numbers = [numbers] * size
    return numbers
