"""A program that loads an unpacked archive like a worker of TorchServe, and runs its samples.

`python model_trial.py FOLDER REPORT` writes the outcome to REPORT, as JSON.  The model's output
goes to standard output, like a worker's.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import ts
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from ts.model_loader import ModelLoaderFactory

from handler_kit.batch_handler import BatchHandler
from handler_kit.errors import LoadError
from handler_kit.memory import MemoryGauge

MANIFEST = "MAR-INF/MANIFEST.json"
ITS_OWN = "ts.torch_handler."  # the package of TorchServe's handlers


def try_model(folder: Path) -> dict[str, Any]:
    """Load the model in *folder*, and return its description and its answer to a sample.

    Raises whatever its handler raises.
    """
    manifest = json.loads((folder / MANIFEST).read_bytes())["model"]
    if "handler" not in manifest:
        raise LoadError(f"{MANIFEST} does not name a handler")
    gpu = 0 if torch.cuda.is_available() else None
    began = time.perf_counter()
    loader = ModelLoaderFactory.get_model_loader()
    name, handler_file = manifest["modelName"], manifest["handler"]
    service = loader.load(
        name, str(folder), handler_file, gpu, batch_size=1, metrics_cache=_metrics_of(name)
    )
    told: dict[str, Any] = {"load_seconds": time.perf_counter() - began}
    entry_point = service._entry_point  # noqa: SLF001 - the only way to get at the handler
    handler = getattr(entry_point, "__self__", None)
    if isinstance(handler, BatchHandler):
        told |= {"device": str(handler.device), "precision": handler.describe()["precision"]}
        told |= _run_sample(handler)
    memory = MemoryGauge(torch.device(told.get("device", "cpu"))).read()
    return told | {"rss_bytes": memory.rss_bytes, "gpu_bytes": memory.gpu_reserved_bytes}


def _metrics_of(name: str) -> MetricsCacheYamlImpl:
    """Return the metrics for the handler of the model *name*, like a worker's."""
    metrics = MetricsCacheYamlImpl(str(Path(ts.__file__).parent / "configs" / "metrics.yaml"))
    metrics.initialize_cache()
    metrics.model_name = name
    return metrics


def _run_sample(handler: BatchHandler[Any, Any, Any]) -> dict[str, Any]:
    """Run one input.  The handler has run more of them at its warm-up."""
    samples = handler.samples(1)
    if not samples:
        return {}
    began = time.perf_counter()
    with torch.inference_mode():
        (planned,) = handler.plan(samples)
        (answer,) = handler.encode(handler.forward(planned.batch))
    taken = time.perf_counter() - began
    if isinstance(answer, Exception):
        raise answer
    body = answer.body.decode() if answer.type == "json" else f"{len(answer.body)} bytes"
    return {"answer": body, "answer_seconds": taken}


def _cause(exc: BaseException) -> BaseException:
    """Return why a handler cannot be imported: TorchServe's own error hides the reason."""
    among_its_own = isinstance(exc, ImportError) and (exc.name or "").startswith(ITS_OWN)
    return exc.__context__ or exc if among_its_own else exc


def _sentence(exc: BaseException) -> str:
    kind = "" if isinstance(exc, (LoadError, ImportError, OSError)) else type(exc).__name__
    return ": ".join(filter(None, (kind, str(exc))))


def main(folder: Path, report: Path) -> None:
    """Write the report, which contains the error if the model cannot be loaded or run."""
    sys.path.insert(0, str(folder))
    try:
        told = try_model(folder)
    except Exception as exc:  # noqa: BLE001 - any error is the outcome
        told = {"error": _sentence(_cause(exc))}
    report.write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
