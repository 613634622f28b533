"""The section ``handler`` of model-config.yaml as one frozen value, read once.

Every field has a default, so an archive built by hand does not need the section.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from handler_kit.errors import LoadError

Precision = Literal["fp32", "fp16", "bf16", "int8"]
Switch = Literal["auto", "off", "on"]
Options = TypeVar("Options", bound=msgspec.Struct)

_SWITCHES = {"compile", "tensorrt"}


class HandlerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to run a model.  *workers* is the number of processes that share the machine's cores."""

    model_key: str = "model"
    version: str = "1.0"
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    precision: Literal["auto"] | Precision = "auto"
    compile: Switch = "auto"
    tensorrt: Switch = "off"
    workers: Annotated[int, Meta(ge=1)] = 1
    startup_timeout_seconds: Annotated[float, Meta(gt=0)] = 120.0
    warmup_iterations: Annotated[int, Meta(ge=0)] = 2
    max_batch_size: Annotated[int, Meta(ge=1)] = 16
    input_rank: Annotated[int, Meta(ge=1, le=8)] = 1
    options: dict[str, Any] = {}


def parse_config(yaml: Mapping[str, Any] | None) -> HandlerConfig:
    """Return the section ``handler`` of model-config.yaml, with TorchServe's startup timeout.

    Raises LoadError naming the invalid field.
    """
    yaml = yaml or {}
    section = yaml.get("handler") or {}
    if isinstance(section, Mapping):
        section = {key: _as_switch(key, value) for key, value in section.items()}
        if "startupTimeout" in yaml:
            section.setdefault("startup_timeout_seconds", yaml["startupTimeout"])
    try:
        return msgspec.convert(section, HandlerConfig)
    except msgspec.ValidationError as exc:
        raise LoadError(f"model-config.yaml, handler: {exc}") from exc


def parse_options(config: HandlerConfig, kind: type[Options]) -> Options:
    """Return the handler's own options as *kind*.  Raises LoadError naming the invalid field."""
    try:
        return msgspec.convert(config.options, kind)
    except msgspec.ValidationError as exc:
        raise LoadError(f"handler_options of {config.model_key}: {exc}") from exc


def _as_switch(key: str, value: object) -> object:
    """Return "on" or "off", which YAML has read as true or false if they were not quoted."""
    if key in _SWITCHES and isinstance(value, bool):
        return "on" if value else "off"
    return value
