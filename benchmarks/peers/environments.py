"""Virtual environments: each peer has its own, with what its file pins."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def environment(name: str, folder: Path) -> str:
    """Return the Python of a virtual environment in *folder* that holds what NAME.txt pins.

    Raises subprocess.CalledProcessError where pip cannot install that.
    """
    pinned = HERE / "requirements" / f"{name}.txt"
    place = folder / name
    python = place / "bin" / "python"
    done = place / pinned.name
    if not done.exists() or done.read_bytes() != pinned.read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--requirement", str(pinned)], check=True)
        done.write_bytes(pinned.read_bytes())
    return str(python)
