"""Checks every family of models on a GPU, and compares it with the CPU.

Needs neither TorchServe nor Java.  Exits with 0 if all checks pass, 1 if one fails, and 3 if there
is no GPU that torch can use.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from handler_kit.device import find_cuda, give_back
from handler_kit.text_input import sample_texts
from tensor_handler import TensorHandler
from tests.checkpoints import text
from tests.handlers.device_families import FAMILIES, Family, answers, build_example, load, near
from tests.handlers.loaded import EXAMPLE_OPTIONS, FakeContext, Loaded
from text_embedding_handler import TextEmbeddingHandler

NO_GPU = 3
TOO_MUCH_BYTES = 2**50
LEFT_OVER_BYTES = 64 * 2**20  # that libraries may keep for themselves
BATCHES = (1, 4, 16, 64)
MEASURED_SECONDS = 1.0
COMPILE_ONCE = "--compile-once"


class Finding(NamedTuple):
    """One line of the table.  If *right* is None, it is a figure, not a check."""

    check: str
    right: bool | None
    detail: str


class Greedy(TensorHandler):
    """Asks for more memory than there is when an input begins with 777."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """As its base, or out of memory."""
        if (batch[:, 0] == 777).any():
            torch.empty(TOO_MUCH_BYTES, dtype=torch.uint8, device=self.device)
        return super().forward(batch)


def main(arguments: Sequence[str]) -> int:
    """Print the table; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.compile_once:
        print(compile_once(torch.device(options.device), Path(options.compile_once)))
        return 0
    if options.device.startswith("cuda"):
        cuda = find_cuda()
        if not cuda.usable:
            print(f"check_gpu: there is no GPU that could be checked: {cuda.missing}")
            return NO_GPU
    device = torch.device(options.device)
    names = options.family or list(FAMILIES)
    wrong = 0
    for finding in findings(device, names, quick=options.quick):
        mark = {True: "right", False: "WRONG", None: ""}[finding.right]
        print(f"{finding.check:44} {mark:6} {finding.detail}", flush=True)
        wrong += finding.right is False
    print(f"{wrong} wrong" if wrong else "all is right")
    return 1 if wrong else 0


def findings(device: torch.device, names: Sequence[str], *, quick: bool) -> Iterator[Finding]:
    """Every check, one after another; *quick* leaves out what takes minutes."""
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            folder = Path(root) / name.replace(" ", "_")
            folder.mkdir()
            try:
                FAMILIES[name].build(folder)
            except Exception as exc:  # noqa: BLE001 - its package cannot be fetched, perhaps
                yield Finding(f"{name}: its checkpoint", False, f"could not be made: {exc}")
                continue
            for check in (same_as_cpu, runs_by_itself, alone_as_in_a_batch):
                yield from _checked(f"{name}: {check.__name__}", check, name, folder, device)
        folder = Path(root) / "others"
        folder.mkdir()
        yield from _checked("memory after unloading", memory_comes_back, folder, device)
        yield from _checked("out of memory", survives_out_of_memory, folder, device)
        if not quick:
            yield from _checked("compiling", compiling, device)
        yield from _checked("throughput", throughput, Path(root), device, quick)


def same_as_cpu(name: str, folder: Path, device: torch.device) -> list[Finding]:
    """Check that in fp32 both devices give the same answers, except random samples."""
    family = FAMILIES[name]
    if family.drawn:
        return [Finding(f"{name}: fp32 as on the CPU", None, "drawn by chance: not compared")]
    there = answers(_on(family, folder, device, precision="fp32"), family)
    here = answers(_on(family, folder, torch.device("cpu"), precision="fp32"), family)
    return [Finding(f"{name}: fp32 as on the CPU", near(there, here), "")]


def runs_by_itself(name: str, folder: Path, device: torch.device) -> list[Finding]:
    """Check that it answers with the defaults for precision and compiling; report the choices."""
    family = FAMILIES[name]
    loaded = Loaded(
        family.handler(),
        FakeContext(folder, {"options": family.options, "device": str(device), "workers": 1}),
    )
    answers(loaded, family)
    said = loaded.describe()
    detail = f"{said['precision']}, compile {said['compile']}, check {said['precision_check']}"
    return [Finding(f"{name}: auto", True, detail)]


def alone_as_in_a_batch(name: str, folder: Path, device: torch.device) -> list[Finding]:
    """Check that in fp32 an input gets the same answer alone and in a batch."""
    family = FAMILIES[name]
    loaded = _on(family, folder, device, precision="fp32")
    together = answers(loaded, family)
    alone = [answers(loaded, family._replace(items=[item]))[0] for item in family.items]
    return [Finding(f"{name}: alone as in a batch", near(alone, together), "")]


def memory_comes_back(folder: Path, device: torch.device) -> list[Finding]:
    """Check that the memory of a model is freed when it is not referenced any more."""
    build_example(folder)
    before = _held(device)
    loaded = _example(folder, TensorHandler, device)
    during = _held(device)
    del loaded
    gc.collect()
    give_back(device)
    after = _held(device)
    detail = f"{before} bytes before, {during} loaded, {after} after"
    return [Finding("memory after unloading", after - before <= LEFT_OVER_BYTES, detail)]


def survives_out_of_memory(folder: Path, device: torch.device) -> list[Finding]:
    """Check that only an input that needs too much memory gets 503, and the next job succeeds."""
    loaded = _example(folder, Greedy, device)
    statuses = [item.status for item in loaded.job(b"[1]", b"[777]")[0].items]
    afterwards = [item.status for item in loaded.job(b"[1]")[0].items]
    right = (statuses, afterwards) == ([200, 503], [200])
    return [Finding("out of memory", right, f"{statuses}, then {afterwards}")]


def compiling(device: torch.device) -> list[Finding]:
    """Compile cold, warm (with a cache), and without a C compiler, which must not fail."""
    found = []
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as nothing:
        without = {"CC": "/nonexistent", "CXX": "/nonexistent", "PATH": nothing}
        for name, folder, variables in (
            ("cold", cache, {}),
            ("warm", cache, {}),
            ("without a compiler", nothing, without),
        ):
            started = time.monotonic()
            said = _compile_apart(device, folder, variables)
            seconds = time.monotonic() - started
            right = said.endswith("answered") and (name != "cold" or "compile True" in said)
            found.append(Finding(f"compiling, {name}", right, f"{said} in {seconds:.1f} s"))
    return found


def compile_once(device: torch.device, folder: Path) -> str:
    """Load the example with compiling "auto" as on a GPU, in this process; report the outcome."""
    build_example(folder)
    config = {"options": EXAMPLE_OPTIONS, "device": str(device), "compile": "auto"}
    loaded = Loaded(TensorHandler(), FakeContext(folder, config))
    loaded.results([1, 2, 3])
    return f"compile {loaded.describe()['compile']}, answered"


def throughput(root: Path, device: torch.device, quick: bool) -> list[Finding]:
    """Measure embeddings per second by batch size: padded and packed, eager and compiled."""
    folder = root / "encoder"
    folder.mkdir()
    text.build_masked(folder)
    found = []
    for batching in ("padded", "packed"):
        for compiled in ("off",) if quick else ("off", "on"):
            config = {"options": {"batching": batching}, "compile": compiled}
            most = 1 if quick else BATCHES[-1]
            context = FakeContext(folder, config | {"device": str(device), "max_batch_size": most})
            loaded = Loaded(TextEmbeddingHandler(), context)
            sizes = BATCHES[:1] if quick else BATCHES
            seconds = 0.0 if quick else MEASURED_SECONDS
            rates = [f"{size}: {_rate(loaded, size, seconds):.0f}" for size in sizes]
            told = "compiled" if loaded.describe()["compile"] else "eager"
            name = f"throughput, {batching}, {told}"
            found.append(Finding(name, None, f"texts/s by batch size: {', '.join(rates)}"))
    return found


def _checked(name: str, check: Callable[..., list[Finding]], *given: Any) -> list[Finding]:
    try:
        return check(*given)
    except Exception:  # noqa: BLE001 - the others are to be checked too
        last = traceback.format_exc().strip().splitlines()[-1]
        return [Finding(name, False, last)]


def _on(family: Family, folder: Path, device: torch.device, **config: Any) -> Loaded:
    return load(family, folder, device=str(device), **config)


def _example(folder: Path, kind: type[TensorHandler], device: torch.device) -> Loaded:
    config = {"options": EXAMPLE_OPTIONS, "device": str(device), "compile": "off"}
    return Loaded(kind(), FakeContext(folder, config))


def _held(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _rate(loaded: Loaded, size: int, seconds: float) -> float:
    texts = (sample_texts(8) * size)[:size]
    loaded.results(*texts)
    passes, started = 0, time.perf_counter()
    while passes == 0 or time.perf_counter() - started < seconds:
        loaded.results(*texts)
        passes += 1
    return passes * size / (time.perf_counter() - started)


def _compile_apart(device: torch.device, cache: str, variables: dict[str, str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.check_gpu", "--device", str(device)]
        ended = subprocess.run(
            [*command, COMPILE_ONCE, folder],
            env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
    lines = (ended.stdout if ended.returncode == 0 else ended.stderr).strip().splitlines()
    return lines[-1] if lines else f"ended with {ended.returncode}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/check_gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="what is checked (default cuda:0)")
    parser.add_argument(
        "--family", action="append", choices=list(FAMILIES), help="only this one; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="without what takes minutes")
    parser.add_argument(COMPILE_ONCE, metavar="FOLDER", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
