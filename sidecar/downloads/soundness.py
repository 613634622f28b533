"""Whether the files of a model are whole: looked at when they arrive, not when they are loaded.

That the tensors fit the network shows only when it is loaded; all that the files say of
themselves is checked here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from sidecar.downloads.file_names import PICKLED, WEIGHTS
from sidecar.downloads.messages import DownloadFailed
from sidecar.settings import MB

MAX_CONFIG_BYTES = 4 * MB
MAX_JSON_BYTES = 64 * MB  # the largest tokenizers, for a hundred languages, have 35 MB
MAX_DEPTH = 64
INDEX, PICKLED_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
WHOLE = "model.safetensors"
WORDS = ("vocab.txt", "merges.txt")


def check_settings(folder: Path) -> None:
    """Check all files in and below *folder* that are not weights.  Raises DownloadFailed."""
    for path in _files(folder):
        if path.suffix == ".json":
            _check_json(path)
        if path.name == PICKLED_INDEX:
            _shards(path, PICKLED.fullmatch)
        elif path.name == "tokenizer.json":
            _check_tokenizer(path)
        elif path.name in WORDS:
            _check_words(path)
        elif path.suffix in (".model", ".spm") and not path.stat().st_size:
            raise DownloadFailed(f"its {path.name} is empty")


def check_weights(folder: Path) -> None:
    """Check all safetensors files in *folder* and below, and their index.

    Raises DownloadFailed for one that is damaged or misses a shard.
    """
    tensors = {path: tensors_in(path) for path in _files(folder) if path.suffix == ".safetensors"}
    for parent in sorted({path.parent for path in tensors}):
        names = {path.name for path in tensors if path.parent == parent}
        if WHOLE in names or not any(WEIGHTS.fullmatch(name) for name in names):
            continue
        if not (parent / INDEX).is_file():
            raise DownloadFailed(f"its weights are in several files, and {INDEX} is missing")
        for tensor, shard in _shards(parent / INDEX, WEIGHTS.fullmatch).items():
            if tensor not in tensors[parent / shard]:
                raise DownloadFailed(f"its {shard} lacks the tensor {tensor[:100]!r}")


def tensors_in(path: Path) -> frozenset[str]:
    """Return the names of the tensors in the safetensors file *path*.

    The library reads the header and checks its length, its JSON, that each tensor's bytes are
    as many as its type and shape need, that they follow each other without a gap or an overlap,
    and that the file ends with the last of them.  Raises DownloadFailed.
    """
    try:
        with safe_open(path, "numpy") as file:
            names = frozenset(file.keys())
    except (SafetensorError, OSError, ValueError) as exc:
        raise DownloadFailed(f"its {path.name} is damaged: {str(exc)[:200]}") from exc
    if not names:
        raise DownloadFailed(f"its {path.name} holds no tensors")
    return names


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _check_json(path: Path) -> None:
    limit = MAX_CONFIG_BYTES if path.name == "config.json" else MAX_JSON_BYTES
    size = path.stat().st_size
    if size > limit:
        raise DownloadFailed(
            f"its {path.name} has {size / MB:.0f} MB, the limit is {limit / MB:.0f} MB"
        )
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as exc:
        raise DownloadFailed(f"its {path.name} is not JSON") from exc
    if _is_deeper(value, MAX_DEPTH):
        raise DownloadFailed(f"its {path.name} is nested deeper than {MAX_DEPTH} levels")


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        nested = [each for each in level if isinstance(each, dict | list)]
        if not nested:
            return False
        level = [
            inner
            for each in nested
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return True


def _check_tokenizer(path: Path) -> None:
    try:
        Tokenizer.from_file(str(path))
    except Exception as exc:  # the library has no kind of its own
        raise DownloadFailed(f"its {path.name} is damaged: {str(exc)[:200]}") from exc


def _check_words(path: Path) -> None:
    try:
        words = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise DownloadFailed(f"its {path.name} is not UTF-8") from exc
    if "\0" in words or not words.strip():
        raise DownloadFailed(f"its {path.name} is damaged: it holds no words, or a zero byte")


def _shards(index: Path, is_shard: Any) -> dict[str, str]:
    """Return in which file beside *index* each tensor is.  Raises DownloadFailed."""
    content = json.loads(index.read_bytes())
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise DownloadFailed(f"its {index.name} has no weight_map")
    for shard in {str(place) for place in places.values()}:
        if not is_shard(shard):
            raise DownloadFailed(f"its {index.name} names {shard[:100]!r}, which is not a shard")
        if not (index.parent / shard).is_file():
            raise DownloadFailed(f"its {index.name} names {shard}, which is missing")
    return {str(tensor): str(place) for tensor, place in places.items()}
