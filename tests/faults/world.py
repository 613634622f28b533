"""A real server with a model that can be told to fail."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import safetensors.torch

from tests.faults import faulty_model
from tests.integration.server import ROOT, Server

JOB_SECONDS = 3
FAULTY = {
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
MODELS = {"faulty": FAULTY, "corrupt": FAULTY | {"auto_load": False}}


def build_world(folder: Path, **settings: str) -> Server:
    """The server, not started yet; its catalog, store and state lie in *folder*."""
    source = folder / "faulty"
    source.mkdir()
    shutil.copy(faulty_model.__file__, source / "faulty_model.py")
    state = faulty_model.FaultyModel().state_dict()
    safetensors.torch.save_file(state, source / "model.safetensors")
    (folder / "models.json").write_text(json.dumps({"models": MODELS}))
    places = {
        "models_file": str(folder / "models.json"),
        "model_store": str(folder / "model_store"),
    }
    (folder / "model_store").mkdir()
    environment = {f"SIDECAR_{name.upper()}": value for name, value in places.items()}
    subprocess.run(
        [sys.executable, "-m", "sidecar.catalog"],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    return Server(folder, **places, **settings)
