"""Which files of handlers/ travel in an archive: the handler, and what it imports from there."""

import ast
from pathlib import Path

from sidecar.catalog.handler_options import HANDLERS


def files_of(handler: str) -> list[Path]:
    """Return the files of the packages that *handler* needs beside itself, sorted by name."""
    packages: set[Path] = set()
    unread = [HANDLERS / f"{handler}.py"]
    while unread:
        for name in _imported(unread.pop()):
            package = HANDLERS / name
            if package.is_dir() and package not in packages:
                packages.add(package)
                unread += package.rglob("*.py")
    return sorted(file for package in packages for file in package.rglob("*.py"))


def _imported(path: Path) -> set[str]:
    """Return the top-level names that *path* imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
