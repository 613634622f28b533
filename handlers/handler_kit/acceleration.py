"""torch.compile and TensorRT: which of them a model gets."""

import importlib.util
from collections.abc import Callable
from typing import Any, Literal

import torch

from handler_kit.config import HandlerConfig
from handler_kit.errors import LoadError

Acceleration = Literal["none", "compile", "tensorrt"]
Model = Callable[..., Any]


def choose_acceleration(
    config: HandlerConfig, device: torch.device, *, has_tensorrt: bool
) -> Acceleration:
    """What *config* and *device* allow; TensorRT goes before compile.

    "auto" is on with CUDA only.  Raises LoadError when TensorRT was asked for and is missing.
    """
    on_cuda = device.type == "cuda"
    if config.tensorrt == "on" and not (has_tensorrt and on_cuda):
        raise LoadError("tensorrt is on, but there is no torch_tensorrt with a CUDA device here")
    if config.tensorrt == "on" or (config.tensorrt == "auto" and has_tensorrt and on_cuda):
        return "tensorrt"
    if config.compile == "on" or (config.compile == "auto" and on_cuda):
        return "compile"
    return "none"


def is_required(config: HandlerConfig, acceleration: Acceleration) -> bool:
    """Whether the model must not run without *acceleration*: "on", not "auto"."""
    return (config.tensorrt if acceleration == "tensorrt" else config.compile) == "on"


def has_tensorrt() -> bool:
    """Whether torch_tensorrt is installed."""
    return importlib.util.find_spec("torch_tensorrt") is not None


def accelerate(model: Model, acceleration: Acceleration) -> Model:
    """*model*, to be compiled at its first calls, for batches of any size."""
    if acceleration == "tensorrt":
        importlib.import_module("torch_tensorrt")  # registers its backend
        return torch.compile(model, backend="torch_tensorrt", dynamic=True)
    if acceleration == "compile":
        return torch.compile(model, dynamic=True)
    return model
