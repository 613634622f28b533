"""A CUDA device that is only pretended, for a torch that has none.

Its tensors hold their numbers in ordinary memory but say ``cuda:0``.  As on a true device, an
operation that mixes them with CPU tensors fails, and so does reading one as a NumPy array.
Copies between the two, and with them the points at which the CPU waits, are counted.

What it cannot show: speed, memory, the kernels' own rounding, and anything that is compiled.
"""

import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from transformers import PreTrainedModel

DEVICE = torch.device("cuda", 0)
MEMORY_BYTES = 80 * 2**30

_aten: Any = torch.ops.aten
# The CPU operand of these is moved, or is meant to be on the CPU.
_MAY_MIX = {
    _aten.copy_.default,
    _aten._to_copy.default,
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
    _aten._pack_padded_sequence.default,
    _aten._pad_packed_sequence.default,
}
_PACKED = {_aten._pack_padded_sequence.default, _aten._pad_packed_sequence.default}
_WITH_MASKS = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default}
_INDEXING = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
_KEEPS_ITS_NAME = ("lift_fresh", "packed_sequence", "padded_sequence")  # composite, yet one step


class DevicesMixed(RuntimeError):
    """What a true device says of an operation on tensors of two devices."""


class Traffic:
    """How often the CPU waited for the device, and sent to it, by the line of ours that did."""

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()

    def wait(self) -> None:
        """Count one point where the CPU needs what the device has not yet computed."""
        self.waits[_line_of_ours()] += 1

    def upload(self) -> None:
        """Count one copy to the device."""
        self.uploads[_line_of_ours()] += 1

    def waits_in(self, file: str) -> int:
        """Return how often a line of *file* (its name below handlers/) waited."""
        return sum(count for line, count in self.waits.items() if line.startswith(file))


class PretendedTensor(torch.Tensor):
    """A tensor on the pretended device; *held* is the ordinary tensor with its numbers."""

    held: torch.Tensor
    traffic: Traffic

    @staticmethod
    def __new__(cls, held: torch.Tensor, traffic: Traffic) -> "PretendedTensor":
        made: Any = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device("meta"),  # which has no kernels that could run by mistake
            requires_grad=False,
        )
        made.held = held
        made.traffic = traffic
        return made  # type: ignore[no-any-return]

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        tensors = tree_leaves((args, kwargs))
        traffic = next(each.traffic for each in tensors if isinstance(each, PretendedTensor))
        return _Kernels(traffic).run(func, args, kwargs or {})

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"PretendedTensor({self.held!r})"

    def tolist(self) -> Any:
        self.traffic.wait()
        return self.held.tolist()

    def numpy(self, **_: Any) -> NoReturn:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; copy it to the CPU")

    __array__ = numpy  # type: ignore[assignment]


class _Kernels:
    """Runs each operation on the held tensors, once it is sure that the device could."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Return what *func* gives, on the device that a true one would have it on."""
        if _is_composite(func):
            with _Operations(self):
                answer = func.decompose(*args, **kwargs)
            if answer is not NotImplemented:
                return answer
        given = tree_leaves((args, kwargs))
        ours = [each for each in given if isinstance(each, PretendedTensor)]
        if func is _aten._has_compatible_shallow_copy_type.default:
            return False
        if func is _aten._local_scalar_dense.default and ours:
            self.traffic.wait()
            return func(ours[0].held)
        if func in (_aten.is_pinned.default, _aten._pin_memory.default):
            return self._pin(func, args[0])
        if func is _aten.copy_.default:
            return self._copy(args[0], args[1])
        if ours:
            self._check(func, args, given)
        return self._run_held(func, args, kwargs, ours)

    def _check(self, func: Any, args: Any, given: Sequence[Any]) -> None:
        """A CPU tensor without dimensions is a number: such a mixture is allowed."""
        foreign = [
            each
            for each in given
            if isinstance(each, torch.Tensor) and not isinstance(each, PretendedTensor)
        ]
        if func not in _MAY_MIX and any(each.dim() > 0 for each in foreign):
            raise DevicesMixed(
                f"Expected all tensors to be on the same device: {func} at {_line_of_ours()}"
            )
        masks = func in _WITH_MASKS and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        if masks or func is _aten.nonzero.default:  # the result's size is not known before
            self.traffic.wait()

    def _pin(self, func: Any, tensor: torch.Tensor) -> Any:
        if func is _aten.is_pinned.default:
            return False
        if _is_ours(tensor):
            raise RuntimeError("only dense CPU tensors can be pinned")
        return tensor.clone()

    def _copy(self, target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        self._count_copy(_is_ours(source), _is_ours(target))
        _held(target).copy_(_held(source))
        return target

    def _count_copy(self, from_device: bool, to_device: bool) -> None:
        if from_device and not to_device:
            self.traffic.wait()
        if to_device and not from_device:
            self.traffic.upload()

    def _run_held(
        self, func: Any, args: Any, kwargs: dict[str, Any], ours: list[PretendedTensor]
    ) -> Any:
        named = kwargs.get("device")
        kind = None if named is None else torch.device(named).type
        if kind == "meta" and not ours and func is not _aten.scalar_tensor.default:
            return func(*args, **kwargs)
        to_device = bool(ours) if kind in (None, "meta") else kind == "cuda"
        if kind is not None:
            kwargs = kwargs | {"device": torch.device("cpu")}
            if func is _aten._to_copy.default:
                self._count_copy(bool(ours), to_device)
        if kwargs.get("pin_memory"):
            kwargs = kwargs | {"pin_memory": False}
        self._check_generators(args, kwargs, to_device=to_device)
        plain_args, plain_kwargs = tree_map(_held, (args, kwargs))
        kernel = _lstm_cell if func is _aten._thnn_fused_lstm_cell.default else func
        answer = kernel(*plain_args, **plain_kwargs)
        if not to_device:
            return answer
        if func in _PACKED:  # the lengths stay on the CPU
            return self._ours(answer[0]), answer[1]
        known = {id(each.held): each for each in ours}  # what was changed in place stays itself
        return tree_map(
            lambda each: known[id(each)] if id(each) in known else self._maybe_ours(each), answer
        )

    def _check_generators(self, args: Any, kwargs: Any, *, to_device: bool) -> None:
        for each in tree_leaves((args, kwargs)):
            if isinstance(each, torch.Generator) and to_device and each.device.type == "cpu":
                raise DevicesMixed("Expected a 'cuda' device type for generator but found 'cpu'")

    def _ours(self, tensor: torch.Tensor) -> PretendedTensor:
        return PretendedTensor(tensor, self.traffic)

    def _maybe_ours(self, value: Any) -> Any:
        return self._ours(value) if isinstance(value, torch.Tensor) else value


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sends operations that name no pretended tensor through the kernels too."""

    def __init__(self, kernels: _Kernels) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kernels = kernels

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._kernels.run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Replaces the functions that look for a device below what a dispatch mode can see."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self._traffic = traffic

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func in (torch.tensor, torch.as_tensor) and _names_cuda(kwargs.get("device")):
            device = kwargs.pop("device")
            made = args[0] if isinstance(args[0], PretendedTensor) else func(*args, **kwargs)
            return made.to(device)
        if func in _INDEXING and isinstance(args[0], PretendedTensor):
            args = (args[0], _uploaded_lists(args[1]), *args[2:])
        if func is torch.Tensor.to and len(args) > 1 and isinstance(args[1], PretendedTensor):
            return args[0].to(device=DEVICE, dtype=args[1].dtype)
        return func(*args, **kwargs)


@contextmanager
def pretended_cuda(**functions: Callable[..., Any]) -> Iterator[Traffic]:
    """Give torch one CUDA device while inside, and count what goes to it and comes back.

    *functions* stand for those of `torch.cuda` with their names.
    """
    traffic = Traffic()
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as modes:
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        modes.callback(torch.__future__.set_overwrite_module_params_on_conversion, before)
        _pretend_driver(patch, functions)
        _load_on_the_cpu(patch)
        modes.enter_context(_Operations(_Kernels(traffic)))
        modes.enter_context(_Functions(traffic))
        yield traffic


def _pretend_driver(patch: pytest.MonkeyPatch, functions: Mapping[str, Callable[..., Any]]) -> None:
    card = SimpleNamespace(total_memory=MEMORY_BYTES, major=9, minor=0, name="pretended")
    answers: dict[str, object] = {
        "_lazy_init": None,
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "set_device": None,
        "is_bf16_supported": True,
        "get_rng_state": torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": None,
        "get_device_properties": card,
        "get_device_capability": (card.major, card.minor),
        "device_memory_used": 0,
        "mem_get_info": (MEMORY_BYTES, MEMORY_BYTES),
        "memory_allocated": 0,
        "memory_reserved": 0,
        "empty_cache": None,
        "synchronize": None,
        "manual_seed_all": None,
    }
    for name, answer in answers.items():
        patch.setattr(torch.cuda, name, functions.get(name, _always(answer)))
    patch.setattr(torch.backends.cudnn, "is_acceptable", _always(False))


def _always(answer: object) -> Callable[..., object]:
    return lambda *_, **__: answer


def _load_on_the_cpu(patch: pytest.MonkeyPatch) -> None:
    """Let transformers load undisturbed: it does so on the CPU, with tensors of kind meta."""
    given: Any = PreTrainedModel.from_pretrained
    load = given.__func__

    def undisturbed(cls: Any, *args: Any, **kwargs: Any) -> Any:
        modes = torch.overrides._get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        pop = torch.overrides._pop_mode_temporarily() if modes else nullcontext()
        with _disable_current_modes(), pop:
            return load(cls, *args, **kwargs)

    patch.setattr(PreTrainedModel, "from_pretrained", classmethod(undisturbed))


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Attention in plain steps: torch picks its kernel by a device that these tensors hide."""
    if enable_gqa:
        times = query.size(-3) // key.size(-3)
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    scores = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.size(-1)))
    if is_causal:
        shape = (query.size(-2), key.size(-2))
        allowed = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    nothing = (scores == -math.inf).all(-1, keepdim=True)
    return scores.softmax(-1).masked_fill(nothing, 0.0) @ value


def _lstm_cell(
    inputs: torch.Tensor,
    hidden: torch.Tensor,
    cell: torch.Tensor,
    input_bias: torch.Tensor | None = None,
    hidden_bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What CUDA has as one kernel, and the CPU has not."""
    gates = inputs + hidden
    for bias in (input_bias, hidden_bias):
        gates = gates if bias is None else gates + bias
    enter, forget, new, out = gates.chunk(4, 1)
    next_cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return out.sigmoid() * next_cell.tanh(), next_cell, gates


def _uploaded_lists(index: Any) -> Any:
    """*index* with its lists as tensors on the device, where torch would put them."""
    if isinstance(index, tuple):
        return tuple(_uploaded_lists(each) for each in index)
    return torch.tensor(index).to(DEVICE) if isinstance(index, list) else index


def _held(value: Any) -> Any:
    return value.held if isinstance(value, PretendedTensor) else value


def _is_ours(value: Any) -> bool:
    return isinstance(value, PretendedTensor)


def _names_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _is_composite(func: Any) -> bool:
    """Whether *func* is made of others, which then are looked at one by one."""
    name = func.name()
    if any(part in name for part in _KEEPS_ITS_NAME):
        return False
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")


def _line_of_ours() -> str:
    """The innermost line of handlers/ that is running, as file:line."""
    for frame in reversed(traceback.extract_stack()):
        _, found, file = frame.filename.rpartition("/handlers/")
        if found and "/tests/" not in frame.filename:
            return f"{file}:{frame.lineno}"
    return "elsewhere"
