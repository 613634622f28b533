"""What tests need beyond Python's packages: absent, it skips them here, and fails them in CI."""

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytest


def need_program(name: str) -> str:
    """Return the path of the program *name*."""
    return shutil.which(name) or _absent(f"{name} is not on PATH")


def need_recording(name: str) -> Path:
    """Return the file *name* of the recordings of people that come with moonshine-cpp."""
    package = importlib.util.find_spec("moonshine_cpp")
    if package is None or package.origin is None:  # its wheels are for Linux on x86-64 alone
        _absent("the package moonshine-cpp is not here: it has no wheel for this machine")
    return Path(package.origin).parent / "test-data" / name


def need_compiler() -> None:
    """Go on only where torch.compile can: with a C++ compiler and Python's headers."""
    need_program("g++")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        _absent(f"{header} is missing")


def _absent(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
