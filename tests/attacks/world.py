"""The server that is attacked: a small model for the other clients, and voices to be kept busy."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.integration.server import ROOT, Server
from tests.live.world import MODELS, build_world

NOBODY = "http://127.0.0.1:9"  # no attack is to reach a real hub
SPEECH = ("hibari_tts", "silero_vad", "whisper_tiny_en")


def build(folder: Path, *, speech: bool, **settings: str) -> Server:
    """The server, not started yet; with *speech*, also the models that the project comes with."""
    models = MODELS | (_shipped(folder) if speech else {})
    return build_world(folder, models, hub_endpoint=NOBODY, auto_download="off", **settings)


def _shipped(folder: Path) -> dict[str, Any]:
    """Their entries; their archives, where they are built already, are copied."""
    store = folder / "model_store"
    store.mkdir(exist_ok=True)
    models = json.loads((ROOT / "models.json").read_text())["models"]
    for key in SPEECH:
        built = ROOT / "model_store" / f"{key}.mar"
        if built.exists():
            shutil.copy(built, store)
    return {key: models[key] for key in SPEECH}
