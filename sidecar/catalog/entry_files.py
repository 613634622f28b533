"""What can be seen of an entry's own files without loading them: what is missing, and where.

A sentence is for the person who wrote the entry; paths stand in it as the entry has them.
"""

import ast
from pathlib import Path
from typing import Any

import msgspec

from sidecar.catalog.handler_options import HANDLERS, read_options
from sidecar.schemas.model_spec import ModelSpec
from sidecar.validation import Misfit, nearest

PICKLES = ("*.bin", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.pt")
FROM_CHECKPOINTS = ("text_embedding_handler", "text_handler", "image_handler")


def find_fault(spec: ModelSpec, base: Path) -> str | None:
    """Return what of the files of *spec* is missing or wrong; None: nothing that can be seen.

    *base* is the folder of models.json.  Files are read, and none of their code is run.
    """
    if spec.is_own:
        return None
    options = read_options(spec.handler, spec.handler_options)
    if isinstance(options, Misfit):
        return str(options)
    if spec.source == "builtin":
        return _module_fault(HANDLERS, "handlers", options) if _is_eager(spec, options) else None
    if spec.source == "local" and spec.path is not None:
        path = (base / spec.path).resolve()
        if not path.is_relative_to(base.resolve()):
            return f"path: {spec.path} is not below the folder of models.json"
        return _local_fault(spec, spec.path, path, options)
    return None


def _local_fault(spec: ModelSpec, shown: str, path: Path, options: Any) -> str | None:
    if not path.exists():
        near = nearest(path.name, [each.name for each in _around(path)])
        return f"path: {shown} is not there{near}"
    if spec.handler == "tensor_handler":
        return _tensor_fault(shown, path, options)
    if spec.handler in FROM_CHECKPOINTS and spec.convert is None:
        return _checkpoint_fault(shown, path)
    return None


def _is_eager(spec: ModelSpec, options: Any) -> bool:
    return spec.handler == "tensor_handler" and options.format == "eager"


def _around(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.is_dir() else []


def _tensor_fault(shown: str, path: Path, options: Any) -> str | None:
    if options.format == "eager":
        if not path.is_dir():
            return f"path: format eager needs a folder with {options.module}.py, not a file"
        weights = _file_fault(shown, path, "weights", options.weights)
        return _module_fault(path, shown, options) or weights
    if path.is_dir():
        return _file_fault(shown, path, "program", options.program)
    if path.name != options.program:
        return f"handler_options.program: {options.program} is not the file in path, {path.name}"
    return None


def _file_fault(shown: str, folder: Path, option: str, name: str) -> str | None:
    if (folder / name).is_file():
        return None
    there = sorted(each.name for each in folder.iterdir())
    pickled = [file.name for pattern in PICKLES for file in folder.glob(pattern)]
    how = nearest(name, there)
    if option == "weights" and pickled:
        how = (
            f"; {pickled[0]} is not a safetensors file: write the weights with "
            "safetensors.torch.save_file(model.state_dict(), …)"
        )
    return f"handler_options.{option}: {shown} has no file {name}{how}"


def _module_fault(folder: Path, shown: str, options: Any) -> str | None:
    """Return what is wrong with the class of an eager model, by its source."""
    file = folder / f"{options.module}.py"
    if not file.is_file():
        near = nearest(options.module, [each.stem for each in folder.glob("*.py")])
        return f"handler_options.module: {shown} has no file {options.module}.py{near}"
    try:
        tree = ast.parse(file.read_bytes(), file.name)
    except (SyntaxError, ValueError) as exc:
        return f"handler_options.module: {file.name} is not valid Python: {exc}"
    names = _names(tree)
    if options.class_name in names or "*" in names:
        return None
    near = nearest(options.class_name, names)
    return f"handler_options.class: {file.name} has no class {options.class_name}{near}"


def _names(tree: ast.Module) -> set[str]:
    """Return what a module may have at its top, `*` for what it imports without names."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name for alias in aliases}
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return names


def _checkpoint_fault(shown: str, path: Path) -> str | None:
    """Return what of a transformers checkpoint is not there."""
    if not path.is_dir():
        return f"path: {shown} must be a folder with config.json and model.safetensors"
    configs = list(path.rglob("config.json"))
    if not configs:
        return f"path: {shown} has no config.json; save_pretrained writes a whole folder"
    for config in configs:
        try:
            msgspec.json.decode(config.read_bytes(), type=dict[str, Any])
        except msgspec.DecodeError as exc:
            return f"path: {shown}: config.json: {exc}"
    if any(path.rglob("*.safetensors")):
        return None
    pickled = any(path.rglob("pytorch_model*.bin"))
    how = '; "convert": "pickled" reads pytorch_model.bin' if pickled else ""
    return f"path: {shown} has no model.safetensors{how}"
