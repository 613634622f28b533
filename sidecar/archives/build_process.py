"""Builds an archive in a process of its own, so that the server continues to answer.

It stands alone because `archive`, which the build uses, must not know of servers.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from sidecar.archives.archive import BuildError
from sidecar.settings import ENVIRONMENT_PREFIX, Settings

LONGEST_SECONDS = 600.0
LAST_WORDS = 500  # characters of what a build says when it fails


async def build_archive(settings: Settings, key: str) -> None:
    """Build the archive of *key* unless it is current.  Raises BuildError with the reason."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar.archives",
        key,
        env=_environment(os.environ, settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            _, said = await process.communicate()
    except TimeoutError as exc:
        raise BuildError(f"{key}: not built within {LONGEST_SECONDS:g} seconds") from exc
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise BuildError(lines[-1].removeprefix("build_archives: ")[-LAST_WORDS:] if lines else key)


def _environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Return what the process may see: of our settings, only those that it needs."""
    inherited = {
        name: value for name, value in environ.items() if not name.startswith(ENVIRONMENT_PREFIX)
    }
    places = {
        "MODELS_FILE": settings.models_file,
        "MODEL_STORE": settings.model_store,
        "STATE_DIR": settings.state_dir,
    }
    return inherited | {f"{ENVIRONMENT_PREFIX}{name}": str(path) for name, path in places.items()}
