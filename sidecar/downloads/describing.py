"""A models.json entry for files that have none: from their config, and what the client said."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from safetensors import safe_open

from sidecar.downloads.kinds import Kind, kind_of
from sidecar.downloads.messages import DownloadFailed, DownloadTarget
from sidecar.schemas.model_spec import ModelSpec

LISTENS_AT = 16_000  # Hz
RATES: Mapping[str, int] = {"SpeechT5ForTextToSpeech": 16_000, "BarkModel": 24_000}  # Hz

SENTENCE_MODULES = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
VOICE_FILES: Mapping[str, str] = {
    "SpeechT5ForTextToSpeech": "speakers.safetensors",
    "BarkModel": "voices.safetensors",
}


class Card(NamedTuple):
    """What a hub says of a model beside its files."""

    commit: str | None = None
    pipeline: str | None = None
    license: str | None = None
    languages: tuple[str, ...] = ()


def describe(target: DownloadTarget, folder: Path, card: Card) -> ModelSpec:
    """Return the entry for the model in *folder*.  Raises DownloadFailed."""
    config = read_json(folder / "config.json")
    if config is None:
        raise DownloadFailed("it has no config.json, so it is unclear what the model is")
    kind = kind_of(config, target.task, card.pipeline)
    if target.must_speak and kind.task != "speech_synthesis":
        raise DownloadFailed(f"a model that does {kind.task} cannot be made to speak")
    entry: dict[str, Any] = {
        "display_name": target.name,
        "description": f"{kind.architecture} from {target.shown_id}",
        "source": target.source,
        "model_id": target.model_id if target.source == "huggingface" else None,
        "path": target.key,
        "revision": card.commit,
        "license": card.license,
        "task": kind.task,
        "handler": kind.handler,
        "handler_options": _options(kind, folder) | target.options,
        "speech": _speech(kind, config, folder, card),
    }
    try:
        return msgspec.convert(entry | target.config, ModelSpec)
    except msgspec.ValidationError as exc:
        raise DownloadFailed(f"config: {exc}") from exc


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in *path*; None without the file.  Raises DownloadFailed."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as exc:
        raise DownloadFailed(f"its {path.name} is not JSON") from exc
    if not isinstance(value, dict):
        raise DownloadFailed(f"its {path.name} is not a JSON object")
    return value


def _options(kind: Kind, folder: Path) -> dict[str, Any]:
    if kind.task == "embedding":
        return _embedding_options(folder)
    if kind.task == "speech_synthesis":
        return {"voices": _voices(kind, folder)}
    if kind.handler == "text_handler":
        return {"task": kind.task}
    return {}


def _voices(kind: Kind, folder: Path) -> dict[str, dict[str, str]]:
    """Return the voices that lie beside the weights, else the model's own."""
    file = folder / VOICE_FILES.get(kind.architecture, "")
    if file.is_file():
        with safe_open(file, "numpy") as tensors:
            names = sorted({name.partition(".")[0] for name in tensors.keys()})  # noqa: SIM118
        return {name: {} for name in names}
    return {"default": {"speaker": "random"} if kind.architecture == "BarkModel" else {}}


def _controls(kind: Kind, folder: Path) -> list[str]:
    """Return the controls that a voice of this architecture supports."""
    controls = ["volume"]
    if kind.architecture == "VitsModel":
        controls.append("speed")
    if kind.architecture == "SpeechT5ForTextToSpeech":
        controls.append("speaker_embedding")
        if (folder / "xvector").is_dir():
            controls.append("reference_audio")
    return controls


def _embedding_options(folder: Path) -> dict[str, Any]:
    """Return no options: the handler reads sentence-transformers' own files.

    Raises DownloadFailed at once for a module that the handler does not know.
    """
    file = folder / "modules.json"
    if not file.is_file():
        return {}
    try:
        kinds = [str(module["type"]) for module in json.loads(file.read_bytes())]
    except (ValueError, TypeError, KeyError) as exc:
        raise DownloadFailed("its modules.json does not list modules") from exc
    for kind in kinds:
        if kind.rpartition(".")[2] not in SENTENCE_MODULES:
            raise DownloadFailed(f"its module {kind} is not known here")
    return {}


def _speech(
    kind: Kind, config: Mapping[str, Any], folder: Path, card: Card
) -> dict[str, Any] | None:
    if kind.task == "speech_recognition":
        generation = read_json(folder / "generation_config.json") or {}
        languages = [name.strip("<|>") for name in generation.get("lang_to_id") or {}]
        return {
            "sample_rate": LISTENS_AT,
            "languages": languages or ["en"],  # those that know only one have no list
            "translates": bool(languages),
            "word_timestamps": kind.architecture == "Wav2Vec2ForCTC"
            or bool(generation.get("alignment_heads")),
        }
    if kind.task == "speech_synthesis":
        rate = RATES.get(kind.architecture) or config.get("sampling_rate")
        return {
            "sample_rate": rate,
            "languages": list(card.languages) or ["en"],
            "controls": _controls(kind, folder),
        }
    return None
