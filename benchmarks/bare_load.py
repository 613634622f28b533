"""A fresh process that imports and loads one archive's model, without TorchServe.

`python bare_load.py FOLDER` prints the seconds of each step as JSON; FOLDER holds the archive's
files.
"""

import importlib
import inspect
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml


def main(folder: Path) -> dict[str, float]:
    """Seconds for importing torch, importing the handler, and loading the model."""
    sys.path.insert(0, str(folder))
    began = time.perf_counter()
    importlib.import_module("torch")
    imported = time.perf_counter()
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())["model"]
    module = importlib.import_module(manifest["handler"].removesuffix(".py"))
    handled = time.perf_counter()
    kind = next(
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__ and hasattr(each, "initialize")
    )
    config = yaml.safe_load((folder / manifest["configFile"]).read_text())
    context: Any = SimpleNamespace(
        system_properties={"model_dir": str(folder), "gpu_id": None}, model_yaml_config=config
    )
    handler: Any = kind()
    handler.initialize(context)
    ready = time.perf_counter()
    return {"torch": imported - began, "handler": handled - imported, "load": ready - handled}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
