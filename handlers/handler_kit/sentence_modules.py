"""The modules of sentence-transformers that follow a transformer: pooling, dense layers, norms.

A checkpoint's ``modules.json`` lists its modules, each of which has a folder with its settings.
Ignoring a module or a setting would change the vectors, so those not supported are refused by name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import layer_norm, linear, normalize

from handler_kit.errors import LoadError
from handler_kit.text_batching import Hidden, pool

OURS = "sentence_transformers."
POOLING = {  # by the key in 1_Pooling/config.json, in the order in which they are concatenated
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid", "LeakyReLU", "Mish")
LAYER_NORM_EPSILON = 1e-5

Step = Callable[[torch.Tensor], torch.Tensor]


class Embedded(NamedTuple):
    """The vectors of some texts, [texts, numbers], and the number of tokens read of each."""

    vectors: torch.Tensor
    tokens: Sequence[int]


class SentenceModules(NamedTuple):
    """Turns a transformer's states into vectors.

    *folder* contains the transformer.  *prompts* are prefixes for texts, by name; *prompt* is the
    prefix of texts for which the client names none.
    """

    folder: Path
    poolings: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    max_length: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = {}
    prompt: str = ""

    def vectors(self, hidden: Hidden) -> torch.Tensor:
        """Return vectors [texts, numbers] in float32."""
        vectors = pool(hidden, self.poolings)
        for step in self.steps:
            vectors = step(vectors)
        return vectors


def read_modules(
    folder: Path, device: torch.device, poolings: tuple[str, ...] | None, *, normal: bool | None
) -> SentenceModules:
    """Return the modules in *folder*, or mean pooling and a norm if it lists none.

    *poolings* and *normal*, if given, replace those of the checkpoint.  Raises LoadError.
    """
    listed = _read(folder / "modules.json", list)
    if listed is None:
        ends = (normalize,) if normal is not False else ()
        return SentenceModules(folder, poolings or ("mean",), ends)
    found = SentenceModules(folder, ("mean",))
    normalizes = False
    for number, module in enumerate(listed):
        kind, path = _module(module, folder)
        if (kind == "Transformer") != (number == 0) or (kind == "Pooling") != (number == 1):
            raise LoadError(f"modules.json: {kind} is not supported as module {number}")
        normalizes = kind == "Normalize"
        if kind == "Transformer":
            found = _transformer(path, found)
        elif kind == "Pooling":
            found = found._replace(poolings=poolings or _pooling(path, found))
        elif kind == "Normalize":
            found = _followed(found, normalize)
        elif kind == "Dense":
            found = _followed(found, _dense(path, device))
        elif kind == "LayerNorm":
            found = _followed(found, _layer_norm(path, device))
        elif kind != "Dropout":  # which has no effect in inference
            raise LoadError(f"modules.json: the module {kind} is not supported")
    if len(listed) < 2:
        raise LoadError("modules.json: a Pooling module is missing")
    if normal is False and normalizes:
        return found._replace(steps=found.steps[:-1])
    return _followed(found, normalize) if normal and not normalizes else found


def _module(module: Any, folder: Path) -> tuple[str, Path]:
    """Return the module's kind and its folder.  Raises LoadError."""
    kind, path = (str(module.get(key, "")) for key in ("type", "path"))
    if not kind.startswith(OURS):
        raise LoadError(f"modules.json: {kind} has its own code, which is never run")
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise LoadError(f"modules.json: path {path} is not a folder inside the model")
    return kind.rpartition(".")[2], folder / path


def _followed(modules: SentenceModules, step: Step) -> SentenceModules:
    return modules._replace(steps=(*modules.steps, step))


def _transformer(path: Path, modules: SentenceModules) -> SentenceModules:
    said = _read(path / "sentence_bert_config.json", dict) or {}
    wanted = _read(modules.folder / "config_sentence_transformers.json", dict) or {}
    prompts = {name: text or "" for name, text in (wanted.get("prompts") or {}).items()}
    name = wanted.get("default_prompt_name")
    if name is not None and name not in prompts:
        raise LoadError(
            f"config_sentence_transformers.json: default_prompt_name {name} "
            "is not among the prompts"
        )
    return modules._replace(
        folder=path,
        max_length=said.get("max_seq_length"),
        lower_case=bool(said.get("do_lower_case")),
        prompts=prompts,
        prompt=prompts[name] if name is not None else "",
    )


def _pooling(path: Path, modules: SentenceModules) -> tuple[str, ...]:
    said = _settings(path, "Pooling")
    if said.get("include_prompt") is False and any(modules.prompts.values()):
        raise LoadError("Pooling: include_prompt false is not supported")
    modes = said.get("pooling_mode") or [mode for key, mode in POOLING.items() if said.get(key)]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    unknown = set(modes) - set(POOLING.values())
    unknown |= {key for key, on in said.items() if key.startswith("pooling_mode_") and on} - set(
        POOLING
    )
    if unknown:
        raise LoadError(f"Pooling: not supported: {', '.join(sorted(unknown))}")
    return tuple(modes)


def _dense(path: Path, device: torch.device) -> Step:
    said = _settings(path, "Dense")
    for key in ("module_input_name", "module_output_name"):
        if said.get(key) not in (None, "sentence_embedding"):
            raise LoadError(f"Dense: {key} {said[key]} is not supported")
    name = str(said.get("activation_function", "torch.nn.modules.activation.Tanh"))
    kind = name.rpartition(".")[2]
    if not name.startswith("torch.nn.") or kind not in ACTIVATIONS:
        raise LoadError(f"Dense: activation {name} is not supported")
    activation = getattr(torch.nn, kind)()
    weights = _weights(path, device)
    weight, bias = _take(weights, "linear.weight", path), weights.get("linear.bias")
    residual = weights.get("residual.weight")
    adds = bool(said.get("use_residual"))

    def step(vectors: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = activation(linear(vectors, weight, bias))
        if not adds:
            return projected
        return projected + (vectors if residual is None else linear(vectors, residual))

    return step


def _layer_norm(path: Path, device: torch.device) -> Step:
    weights = _weights(path, device)
    weight, bias = (_take(weights, f"norm.{name}", path) for name in ("weight", "bias"))

    def step(vectors: torch.Tensor) -> torch.Tensor:
        return layer_norm(vectors, weight.shape, weight, bias, LAYER_NORM_EPSILON)

    return step


def _weights(path: Path, device: torch.device) -> dict[str, torch.Tensor]:
    try:
        weights = load_file(path / "model.safetensors", device=str(device))
    except (OSError, SafetensorError) as exc:
        raise LoadError(f"cannot load {path.name}/model.safetensors: {exc}") from exc
    return {name: tensor.float() for name, tensor in weights.items()}


def _take(weights: Mapping[str, torch.Tensor], name: str, path: Path) -> torch.Tensor:
    try:
        return weights[name]
    except KeyError:
        raise LoadError(f"{path.name}/model.safetensors has no {name}") from None


def _settings(path: Path, kind: str) -> dict[str, Any]:
    said: dict[str, Any] | None = _read(path / "config.json", dict)
    if said is None:
        raise LoadError(f"{kind}: {path.name}/config.json is missing")
    return said


def _read(path: Path, kind: type) -> Any:
    """Return the JSON in *path*, which must be of *kind*, or None if the file does not exist."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise LoadError(f"{path.name} is not valid JSON: {exc}") from exc
    if not isinstance(value, kind):
        raise LoadError(f"{path.name} must hold a JSON {'array' if kind is list else 'object'}")
    return value
