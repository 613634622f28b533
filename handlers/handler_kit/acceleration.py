"""torch.compile and TensorRT: which of them a model uses."""

import importlib.util
import logging
import threading
from collections.abc import Callable
from typing import Any, Literal

import torch

from handler_kit.config import HandlerConfig
from handler_kit.errors import LoadError, is_broken_device, is_out_of_memory

log = logging.getLogger(__name__)

Acceleration = Literal["none", "compile", "tensorrt"]


def choose_acceleration(
    config: HandlerConfig, device: torch.device, *, has_tensorrt: bool
) -> Acceleration:
    """Return the acceleration that *config* and *device* allow.  TensorRT precedes torch.compile.

    "auto" is on only with CUDA.  Raises LoadError if TensorRT is required but missing.
    """
    on_cuda = device.type == "cuda"
    if config.tensorrt == "on" and not (has_tensorrt and on_cuda):
        raise LoadError(
            "tensorrt: on needs torch_tensorrt and a CUDA device, which this machine lacks"
        )
    if config.tensorrt == "on" or (config.tensorrt == "auto" and has_tensorrt and on_cuda):
        return "tensorrt"
    if config.compile == "on" or (config.compile == "auto" and on_cuda):
        return "compile"
    return "none"


def is_required(config: HandlerConfig, acceleration: Acceleration) -> bool:
    """Return whether *config* says "on" for *acceleration*: the model must not run without it."""
    return (config.tensorrt if acceleration == "tensorrt" else config.compile) == "on"


def has_tensorrt() -> bool:
    """Return whether torch_tensorrt is installed."""
    return importlib.util.find_spec("torch_tensorrt") is not None


class Accelerated:
    """The model *plain*, compiled at its first calls for batches of any size.

    Every new shape is compiled until `settle` is called.  After that nothing is: inputs of other
    shapes run on the plain model, since no client should wait for a compiler or get its errors.
    Other attributes are those of *plain*.
    """

    def __init__(self, plain: Any, acceleration: Acceleration) -> None:
        self.graphs = 0  # compiled so far; stays 0 if the compiler finds nothing in the model
        self._plain = plain
        self._settled = False
        self._given_up = False
        self._compile = graph_compiler(acceleration)
        self._compiled: Callable[..., Any] = torch.compile(
            plain, backend=self._count_graph, dynamic=True
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model.

        Raises what the plain model raises and, before `settle`, what the compiler raises.
        """
        if self._given_up:
            return self._plain(*args, **kwargs)
        if not self._settled:
            return self._compiled(*args, **kwargs)
        try:
            with torch.compiler.set_stance("eager_on_recompile"):
                return self._compiled(*args, **kwargs)
        except Exception as exc:
            if is_out_of_memory(exc) or is_broken_device(exc):
                raise
            answer = self._plain(
                *args, **kwargs
            )  # if this fails too, the compiler is not the cause
            log.warning("the compiled model fails; using the plain one from now on", exc_info=True)
            self._given_up = True
            return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def settle(self) -> None:
        """Stop compiling."""
        self._settled = True

    def give_up(self) -> None:
        """Use only the plain model from now on."""
        self._given_up = True

    def _count_graph(self, graph: Any, inputs: list[Any]) -> Any:
        compiled = self._compile(graph, inputs)
        self.graphs += 1
        return compiled


def graph_compiler(acceleration: Acceleration) -> Callable[..., Any]:
    """Return torch's backend for *acceleration*, which compiles a graph into a function."""
    if acceleration == "tensorrt":
        importlib.import_module("torch_tensorrt")  # registers its backend
    backend: Callable[..., Any] = torch._dynamo.lookup_backend(  # noqa: SLF001 - as torch documents it
        "torch_tensorrt" if acceleration == "tensorrt" else "inductor"
    )
    return backend


def run_within(seconds: float, work: Callable[[], None]) -> BaseException | None:
    """Run *work* in a thread of its own.  Return the exception that it raised, or None.

    A compiler cannot be stopped.  One that takes longer than *seconds* is left running, and a
    TimeoutError is returned.
    """
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            with torch.inference_mode():
                work()
        except BaseException as exc:  # noqa: BLE001 - it is returned
            ended.append(exc)
        else:
            ended.append(None)

    thread = threading.Thread(target=run, name="compiling", daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    return ended[0] if ended else TimeoutError(f"it took longer than {seconds:.0f} s")
