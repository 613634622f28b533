"""server.log: rotated by size, readable lines, never a payload or a token."""

import logging
import logging.handlers
from datetime import UTC, datetime
from pathlib import Path

from sidecar.schemas.core import LogFile
from sidecar.settings import Settings

SERVER_LOG = "server.log"
MB = 2**20
LINE = "%(asctime)s %(levelname)-7s %(name)s - %(message)s"


def configure_logs(settings: Settings) -> None:
    """Sends all logging to standard error and to server.log."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        settings.logs / SERVER_LOG,
        maxBytes=int(settings.log_max_mb * MB),
        backupCount=settings.log_backups,
        encoding="utf-8",
    )
    logging.basicConfig(
        level=settings.log_level,
        format=LINE,
        handlers=[file, logging.StreamHandler()],
        force=True,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def log_files(folder: Path) -> dict[str, LogFile]:
    """The log files in *folder*, by name."""
    files: dict[str, LogFile] = {}
    for path in sorted(folder.glob("*.log")):
        status = path.stat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        files[path.name] = LogFile(
            round(status.st_size / MB, 3), modified.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
    return files
