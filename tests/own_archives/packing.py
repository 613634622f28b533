"""Packs archives: `python -m tests.own_archives.packing STORE NAME …`.

The archiver leaves files open, even when it is only imported: so it has this process to itself.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from model_archiver import ModelArchiverConfig
from model_archiver.model_packaging import generate_model_archive

from tests.own_archives.archives import ARCHIVES, HANDLERS, LABELS, NETWORKS, REQUIREMENTS, Archive


def _pack_all(store: Path, names: Sequence[str]) -> None:
    store.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        material = Path(folder)
        _prepare(material)
        for name in names:
            _pack(store, material, name, ARCHIVES[name])


def _prepare(material: Path) -> None:
    """Write what archives carry beside their handlers."""
    (material / LABELS).write_text(json.dumps({"0": "cat", "1": "dog"}))
    (material / REQUIREMENTS).write_text("a-package-that-nobody-has==1.0\n")
    for seed, name in enumerate(NETWORKS):
        torch.manual_seed(seed)
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            torch.jit.save(
                torch.jit.trace(torch.nn.Linear(4, 2), torch.zeros(1, 4)),  # type: ignore[no-untyped-call]
                material / name,
            )


def _pack(store: Path, material: Path, name: str, archive: Archive) -> None:
    config = None
    if archive.config:
        config = material / f"{name}.yaml"
        config.write_text(yaml.safe_dump(dict(archive.config)))
    generate_model_archive(
        ModelArchiverConfig(
            model_name=f"own_{name}",
            version="1.0",
            handler=str(HANDLERS / f"{name}.py"),
            serialized_file=_path(material, archive.serialized),
            extra_files=",".join(str(material / each) for each in archive.extra) or None,
            requirements_file=_path(material, archive.requirements),
            config_file=None if config is None else str(config),
            archive_format=archive.format,
            export_path=str(store),
            force=True,
        )
    )


def _path(folder: Path, name: str | None) -> str | None:
    return None if name is None else str(folder / name)


if __name__ == "__main__":
    _pack_all(Path(sys.argv[1]), sys.argv[2:])
