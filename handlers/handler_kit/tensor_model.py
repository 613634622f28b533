"""A tensor model from its archive: a Python class, a torch.export program, or TorchScript."""

import importlib.util
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors.torch
import torch
from torch.export.passes import move_to_device_pass

from handler_kit.errors import LoadError
from handler_kit.options import TensorOptions

log = logging.getLogger(__name__)


def load_tensor_model(
    folder: Path, options: TensorOptions, device: torch.device
) -> torch.nn.Module:
    """Load the model in fp32 on *device*, in evaluation mode.  Raises LoadError."""
    load = {"eager": _eager, "export": _exported, "torchscript": _torchscript}[options.format]
    try:
        return load(folder, options, device).to(device)
    except LoadError:
        raise
    except Exception as exc:
        raise LoadError(f"cannot load the {options.format} model: {exc}") from exc


def first_tensor(outputs: Any, count: int) -> torch.Tensor:
    """Return the tensor [count, …] that a model returned, or the first one of a tuple.

    Raises LoadError, at warm-up, for a model that returns anything else.
    """
    if isinstance(outputs, (tuple, list)) and outputs:
        outputs = outputs[0]
    if not isinstance(outputs, torch.Tensor):
        raise LoadError(f"the model returns {type(outputs).__name__}, not a tensor")
    if outputs.dim() == 0 or outputs.shape[0] != count:
        raise LoadError(f"the model returns {list(outputs.shape)} for a batch of {count}")
    return outputs


def _eager(folder: Path, options: TensorOptions, _: torch.device) -> torch.nn.Module:
    module = _import(folder / f"{options.module}.py")
    kind = getattr(module, options.class_name or "", None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise LoadError(
            f"module {options.module} has no torch.nn.Module named {options.class_name}"
        )
    model: torch.nn.Module = kind(**options.arguments)
    model.load_state_dict(safetensors.torch.load_file(folder / options.weights), strict=True)
    return model.float().eval()


def _exported(folder: Path, options: TensorOptions, device: torch.device) -> torch.nn.Module:
    """Load a torch.export program.  Tensors that it creates (`arange`) move to *device*, too."""
    program = torch.export.load(folder / str(options.program))
    _refuse_fixed_batch(program)
    if device.type != "cpu":
        program = move_to_device_pass(program, str(device))
    module: torch.nn.Module = program.module()
    return module


def _torchscript(folder: Path, options: TensorOptions, device: torch.device) -> torch.nn.Module:
    program: Any = torch.jit.load(  # type: ignore[no-untyped-call]
        folder / str(options.program), map_location="cpu"
    )
    _refuse_fixed_device(program, device)
    module: torch.nn.Module = program.eval()
    return module


def _import(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file.name} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refuse_fixed_device(program: Any, device: torch.device) -> None:
    """Raise LoadError for a traced program that creates tensors on a device other than *device*.

    Tracing stores the device of each such tensor in the program as a constant that cannot be moved,
    so that on another device the program fails at its first input.
    """
    graph = program.inlined_graph  # keeps its nodes alive
    for node in graph.findAllNodes("prim::Constant"):
        if node.output().type().kind() != "DeviceObjType":
            continue
        fixed = torch.device(node.s("value"))
        if fixed.type != device.type:
            raise LoadError(
                f"the program creates tensors on {fixed}, where it was traced, and cannot run on "
                f"{device}: script it (torch.jit.script), export it (torch.export), or set device "
                f"to {fixed.type}"
            )


def _refuse_fixed_batch(program: torch.export.ExportedProgram) -> None:
    """Raise LoadError for a program whose batch size is fixed: a number instead of a symbol."""
    inputs = program.graph_signature.user_inputs
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if (
            node.name in inputs
            and isinstance(value, torch.Tensor)
            and isinstance(value.shape[0], int)
        ):
            raise LoadError(
                f"the program takes batches of exactly {value.shape[0]}; export it with a "
                "dynamic batch dimension (torch.export.export, dynamic_shapes)"
            )
