"""Which names of files are taken from strangers, and which files of a model are wanted.

All of it is pure: names in, names out.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from sidecar.downloads.messages import DownloadFailed

ABSOLUTE = re.compile(r"(?<![\w/:.-])/(?:[^\s/'\"]+/)*([^\s/'\"]+)")
MAX_NAME = 200  # bytes of one part; file systems take 255, and we append to it
MAX_PATH = 1024  # bytes
MAX_DEPTH = 16  # folders above a file
SHOWN = 100  # characters of a name in a message
MAX_WANTED = 1000  # files of one model
ZIPS = (".zip", ".mar")
ARCHIVES = (*ZIPS, ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DATA = frozenset({".json", ".txt", ".model", ".vocab", ".jinja", ".spm", ".safetensors"})
EXTRA_FOLDERS = frozenset({"vocoder", "xvector"})  # besides a model's top folder
MODULE_FOLDER = re.compile(r"\d+_\w+")  # of sentence-transformers: 1_Pooling, 2_Dense
VOICES = frozenset({"voices.safetensors", "speakers.safetensors"})  # beside a voice's weights
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
PICKLED = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin|(model|generator)\.ckpt")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def checked_name(name: str) -> PurePosixPath:
    """Return *name* as a path below a folder of ours.  Raises DownloadFailed for any other."""
    path = PurePosixPath(name)
    parts = name.split("/")
    if (
        not name
        or path.is_absolute()
        or "\\" in name
        or not name.isprintable()
        or len(name.encode()) > MAX_PATH
        or len(parts) > MAX_DEPTH
        or any(part in ("", ".", "..") or len(part.encode()) > MAX_NAME for part in parts)
        or re.match(r"[A-Za-z]:", name)
    ):
        raise DownloadFailed(f"the file name {_shortened(name)!r} is not allowed")
    return path


def archive_name(url: str) -> str:
    """Return the file's name at the end of *url*'s path.  Raises DownloadFailed for other kinds."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name.endswith(ARCHIVES):
        raise DownloadFailed(f"the file at an address: expected one of: {', '.join(ARCHIVES)}")
    return str(checked_name(name))


def wanted(names: Iterable[str]) -> list[str]:
    """Of a model's files: its settings, its tokenizer, and its weights in one layout.

    Weights in safetensors come before pickled ones.  Raises DownloadFailed for a name that
    is not allowed (then nothing of the model is to be trusted), and when there are no weights.
    """
    checked = [checked_name(name) for name in names]
    near = [path for path in checked if not path.parent.parts or _is_extra(path)]
    data = [str(path) for path in near if path.suffix in DATA]
    other = set(INDEXES)
    if any(WEIGHTS.fullmatch(name) for name in data):
        weights = {name for name in data if WEIGHTS.fullmatch(name)}
        other.discard(INDEXES[0])
    else:
        weights = {str(path) for path in near if PICKLED.fullmatch(str(path))}
        other.discard(INDEXES[1])
    if not weights:
        raise DownloadFailed(
            "it has no weights that are read here: model.safetensors, or pytorch_model.bin, "
            "which is converted"
        )
    besides = {str(path) for path in near if _is_extra(path) and path.name == "model.safetensors"}
    besides |= {
        str(path)
        for path in near
        if _is_module(path)
        and path.name == "pytorch_model.bin"
        and str(path.with_name("model.safetensors")) not in besides
    }
    besides |= VOICES.intersection(data)
    settings = {name for name in data if not name.endswith(".safetensors")} - other | besides
    chosen = sorted(settings | _one_layout(weights))
    if len(chosen) > MAX_WANTED:
        raise DownloadFailed(f"it has {len(chosen)} files to fetch, the limit is {MAX_WANTED}")
    _check_apart(chosen)
    return chosen


def _check_apart(names: Collection[str]) -> None:
    """Raise DownloadFailed for two names that are one file where case does not count."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise DownloadFailed(f"{other!r} and {name!r} would be one file on some disks")


def _shortened(name: str) -> str:
    return name if len(name) <= SHOWN else f"{name[:SHOWN]}…"


def _is_extra(path: PurePosixPath) -> bool:
    return str(path.parent) in EXTRA_FOLDERS or _is_module(path)


def _is_module(path: PurePosixPath) -> bool:
    return MODULE_FOLDER.fullmatch(str(path.parent)) is not None


def _one_layout(weights: Collection[str]) -> set[str]:
    """Return the whole file where there is one, else the shards."""
    whole = {name for name in weights if "-of-" not in name}
    return whole or set(weights)


def without_folders(text: str) -> str:
    """Return *text* with each absolute path cut to its last part: everybody may read it."""
    return ABSOLUTE.sub(r"\1", text)
