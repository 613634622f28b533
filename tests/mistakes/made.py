"""The mistakes, each made for real, in the folder that is the current one."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from handler_kit.errors import LoadError
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.entry_files import find_fault
from sidecar.configuration import check_configuration
from sidecar.errors import SidecarError, UnknownVoice
from sidecar.schemas.model_spec import Speech
from sidecar.settings import SettingsError, load_settings
from sidecar.speech.voices import check_language
from tensor_handler import TensorHandler
from tests.handlers.loaded import FakeContext, Loaded

MODELS = Path("models.json")
FOLDER = Path("net")
EAGER: dict[str, Any] = {"module": "my_net", "class": "MyNet", "input": {"shape": [4]}}
ENTRY: dict[str, Any] = {
    "display_name": "Net",
    "description": "Mine.",
    "source": "local",
    "path": "net",
    "task": "tensor",
    "handler": "tensor_handler",
    "handler_options": EAGER,
}
SOURCE = """import torch

class MyNet(torch.nn.Module):
    def __init__(self, outputs=3):
        super().__init__()
        self.layer = torch.nn.Linear(4, outputs)

    def forward(self, inputs):
        return self.layer(inputs)
"""

START = "`--check-config`, the start, `scripts/models add`"
BUILD = "`--check-config`, `scripts/models add` and `build`; `error` of `/models/{name}`"
LOAD = "`scripts/models check`; `error` of `/models/{name}`, `/health`, the terminal"
SETTINGS = "`--check-config`, the start"
CHECK = "`--check-config`"
REQUEST = "`detail` of the answer"


class Mistake(NamedTuple):
    """What somebody did, where it is told, and how it is done again."""

    what: str
    where: str
    make: Callable[[], str]


def told(mistake: Mistake) -> str:
    """Make *mistake* in a folder that is right but for it, and return the sentence it gets."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "my_net.py").write_text(SOURCE)
    save_file({"layer.weight": torch.ones(3, 4), "layer.bias": torch.zeros(3)}, _weights())
    MODELS.write_text(json.dumps({"models": {"net": ENTRY}}, indent=2))
    return mistake.make()


def _weights() -> Path:
    return FOLDER / "model.safetensors"


def _wrong_file(text: str) -> Callable[[], str]:
    """A models.json as a whole."""

    def make() -> str:
        MODELS.write_text(text)
        with pytest.raises(CatalogError) as refused:
            check_configuration(load_settings({}))
        return str(refused.value)

    return make


def _wrong_entry(key: str = "net", *, other: Mapping[str, Any] | None = None, **change: Any) -> Any:
    """An entry with other values; those that are None are left out."""
    entry = {name: value for name, value in (ENTRY | change).items() if value is not None}
    models = {"other": other} if other else {}
    return _wrong_file(json.dumps({"models": {**models, key: entry}}, indent=2))


def _wrong_options(**change: Any) -> Any:
    options = {name: value for name, value in (EAGER | change).items() if value is not None}
    return _wrong_entry(handler_options=options)


def _wrong_files(change: Callable[[], object], **entry: Any) -> Callable[[], str]:
    """Files of an entry that are missing or wrong."""

    def make() -> str:
        change()
        MODELS.write_text(json.dumps({"models": {"net": ENTRY | entry}}))
        fault = find_fault(load_catalog(MODELS)["net"], Path.cwd())
        assert fault is not None
        return fault

    return make


def _no_load(change: Callable[[], object], **options: Any) -> Callable[[], str]:
    """A model that can be found, and not be loaded."""

    def make() -> str:
        change()
        with pytest.raises(LoadError) as refused:
            Loaded(TensorHandler(), FakeContext(FOLDER, {"options": EAGER | options}))
        return str(refused.value)

    return make


def _setting(**environ: str) -> Callable[[], str]:
    def make() -> str:
        variables = {f"SIDECAR_{name}": value for name, value in environ.items()}
        with pytest.raises((SettingsError, CatalogError)) as refused:
            check_configuration(load_settings(variables))
        return str(refused.value)

    return make


def _settings_file(text: str) -> Callable[[], str]:
    def make() -> str:
        Path("sidecar.toml").write_text(text)
        return _setting(CONFIG="sidecar.toml")()

    return make


def _request(ask: Callable[[], object]) -> Callable[[], str]:
    def make() -> str:
        with pytest.raises(SidecarError) as refused:
            ask()
        return refused.value.detail

    return make


def _write_source(text: str) -> Callable[[], object]:
    return lambda: (FOLDER / "my_net.py").write_text(text)


def _rename_weights() -> None:
    _weights().rename(FOLDER / "my_net.pth")


def _other_weights() -> None:
    save_file({"layer.weight": torch.ones(5, 4), "layer.bias": torch.zeros(5)}, _weights())


def _export_fixed_batch() -> None:
    program = torch.export.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
    torch.export.save(program, FOLDER / "net.pt2")


def _checkpoint(*names: str) -> Callable[[], object]:
    def write() -> None:
        for file in FOLDER.iterdir():
            file.unlink()
        for name in names:
            (FOLDER / name).write_text("{}")

    return write


def _unknown_voice() -> None:
    raise UnknownVoice("af_hart", ["af_heart", "am_adam"])


def _nothing() -> None:
    pass


COMMA = '{\n  "models": {\n    "net": {\n      "display_name": "Net"\n      "description": ""\n'
TEXT = {"task": "embedding", "handler": "text_embedding_handler", "handler_options": {}}
PROGRAM = {"module": None, "class": None, "format": "export", "program": "net.pt2"}

MISTAKES = [
    Mistake("a comma is missing", START, _wrong_file(COMMA)),
    Mistake(
        "the same name twice",
        START,
        _wrong_file('{"models": {\n  "net": {},\n  "net": {}\n}}'),
    ),
    Mistake("a field is mistyped", START, _wrong_entry(hanlder_options={})),
    Mistake("a field is missing", START, _wrong_entry(description=None)),
    Mistake("a task is mistyped", START, _wrong_entry(task="tensr")),
    Mistake("the task of another handler", START, _wrong_entry(task="embedding")),
    Mistake("an option is mistyped", START, _wrong_options(modul="my_net")),
    Mistake("an unknown format", START, _wrong_options(format="onnx")),
    Mistake("an eager model without its class", START, _wrong_options(**{"class": None})),
    Mistake("no options at all", START, _wrong_entry(handler_options=None)),
    Mistake("an exported model without its file", START, _wrong_options(format="export")),
    Mistake("a shape that does not fit the rank", START, _wrong_entry(input_rank=2)),
    Mistake("a number in quotes", START, _wrong_entry(inference={"max_batch_size": "8"})),
    Mistake(
        "fewer workers at most than at least",
        START,
        _wrong_entry(inference={"workers": {"min": 2}}),
    ),
    Mistake("a device that is none", START, _wrong_entry(device="gpu")),
    Mistake("a version with a space", START, _wrong_entry(version="version 2")),
    Mistake("a precision in bits", START, _wrong_entry(precision=16)),
    Mistake("a name with capital letters", START, _wrong_entry("MyNet")),
    Mistake("a name that TorchServe misreads", START, _wrong_entry("tokenizer_net")),
    Mistake(
        "an alias that another model has",
        START,
        _wrong_entry(aliases=["cnn"], other=ENTRY | {"aliases": ["cnn"]}),
    ),
    Mistake("a local model without its path", START, _wrong_entry(path=None)),
    Mistake(
        "an optional model that is to be loaded", START, _wrong_entry(optional=True, auto_load=True)
    ),
    Mistake("a path is mistyped", BUILD, _wrong_files(_nothing, path="nett")),
    Mistake("a path outside the project", BUILD, _wrong_files(_nothing, path="../net")),
    Mistake(
        "the program is not in the folder",
        BUILD,
        _wrong_files(_nothing, handler_options={"format": "export", "program": "net.pt2"}),
    ),
    Mistake(
        "a module is mistyped",
        BUILD,
        _wrong_files(_nothing, handler_options=EAGER | {"module": "mynet"}),
    ),
    Mistake(
        "a class is mistyped",
        BUILD,
        _wrong_files(_nothing, handler_options=EAGER | {"class": "MyNett"}),
    ),
    Mistake("a module with a syntax error", BUILD, _wrong_files(_write_source("class MyNet(:\n"))),
    Mistake("weights as a pickle", BUILD, _wrong_files(_rename_weights)),
    Mistake(
        "a checkpoint without its settings",
        BUILD,
        _wrong_files(_checkpoint("model.safetensors"), **TEXT),
    ),
    Mistake(
        "a checkpoint with pickled weights",
        BUILD,
        _wrong_files(_checkpoint("config.json", "pytorch_model.bin"), **TEXT),
    ),
    Mistake("weights of another size", LOAD, _no_load(_other_weights)),
    Mistake(
        "an argument that the class does not have", LOAD, _no_load(_nothing, arguments={"n": 1})
    ),
    Mistake(
        "a package that is not installed",
        LOAD,
        _no_load(_write_source(f"import a_package_of_mine\n{SOURCE}")),
    ),
    Mistake("an export with a fixed batch", LOAD, _no_load(_export_fixed_batch, **PROGRAM)),
    Mistake(
        "a model that answers no batch",
        LOAD,
        _no_load(_write_source(SOURCE.replace("self.layer(inputs)", "self.layer(inputs).sum()"))),
    ),
    Mistake("a shape that the model does not take", LOAD, _no_load(_nothing, input={"shape": [5]})),
    Mistake("a setting is mistyped", SETTINGS, _settings_file("prot = 8001\n")),
    Mistake("a port above 65535", SETTINGS, _setting(PORT="80000")),
    Mistake("a value that is not allowed", SETTINGS, _setting(LOG_LEVEL="warn")),
    Mistake("an origin without a scheme", SETTINGS, _setting(ALLOWED_ORIGINS="app.example")),
    Mistake("a host with a scheme", SETTINGS, _setting(ALLOWED_HOSTS="https://api.example")),
    Mistake("an address without a scheme", SETTINGS, _setting(INFERENCE_URL="torchserve:8080")),
    Mistake("a default voice that is not there", CHECK, _setting(DEFAULT_TTS_MODEL="net")),
    Mistake("a catalog that is not there", SETTINGS, _setting(MODELS_FILE="model.json")),
    Mistake("a folder that is not there", CHECK, _setting(LOCAL_MODELS_DIR="my_models")),
    Mistake("RS256 without a key", SETTINGS, _setting(JWT_ALGORITHM="RS256")),
    Mistake("a short secret", SETTINGS, _setting(JWT_SECRET="secret")),
    Mistake("production without any credential", SETTINGS, _setting(ENVIRONMENT="production")),
    Mistake(
        "the name of a model is mistyped",
        REQUEST,
        _request(lambda: load_catalog(MODELS).require("nets")),
    ),
    Mistake("the name of a voice is mistyped", REQUEST, _request(_unknown_voice)),
    Mistake(
        "the name of a language",
        REQUEST,
        _request(lambda: check_language(Speech(sample_rate=16000, languages=("en", "de")), "eng")),
    ),
]
