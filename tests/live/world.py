"""A real server with a model that can be told to fail."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from tests.integration.server import ROOT, Server
from tests.live import faulty_model

JOB_SECONDS = 3
FAULTY: dict[str, Any] = {
    "display_name": "Faulty",
    "description": "Does what its first number says.",
    "source": "local",
    "path": "faulty",
    "task": "tensor",
    "handler": "tensor_handler",
    "handler_options": {
        "module": "faulty_model",
        "class": "FaultyModel",
        "input": {"shape": [4]},
    },
    "auto_load": True,
    "inference": {"max_batch_size": 8, "job_timeout_seconds": JOB_SECONDS},
}
MODELS: dict[str, dict[str, Any]] = {"faulty": FAULTY, "corrupt": FAULTY | {"auto_load": False}}


def build_world(
    folder: Path, models: Mapping[str, dict[str, Any]] = MODELS, **settings: str
) -> Server:
    """The server, not started yet; its catalog, store and state lie in *folder*."""
    source = folder / "faulty"
    source.mkdir()
    shutil.copy(faulty_model.__file__, source / "faulty_model.py")
    state = faulty_model.FaultyModel().state_dict()
    safetensors.torch.save_file(state, source / "model.safetensors")
    (folder / "models.json").write_text(json.dumps({"models": models}))
    places = {
        "models_file": str(folder / "models.json"),
        "model_store": str(folder / "model_store"),
    }
    (folder / "model_store").mkdir(exist_ok=True)
    build_archives(folder)
    return Server(folder, **places, **settings)


def build_archives(folder: Path, *models: str) -> None:
    """The archives of the world in *folder*: those that are not current, or *models*."""
    environment = {
        "SIDECAR_MODELS_FILE": str(folder / "models.json"),
        "SIDECAR_MODEL_STORE": str(folder / "model_store"),
    }
    subprocess.run(
        [sys.executable, "-m", "sidecar.archives", *models],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
