"""A model behind an address: one archive file with the model's folder in it."""

import hashlib
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from sidecar.downloads.address_guard import host_of
from sidecar.downloads.file_names import archive_name
from sidecar.downloads.messages import DownloadFailed, DownloadInterrupted
from sidecar.downloads.transfer import Remote, Transfer

PASSING = (408, 429)  # with all from 500 on: statuses of trouble that may pass


def fetch(url: str, sha256: str | None, folder: Path, transfer: Transfer) -> Path:
    """The file at *url*, in *folder*.  Raises DownloadFailed."""
    target = folder / hashlib.sha256(url.encode()).hexdigest()[:16] / archive_name(url)
    try:
        transfer.fetch(Remote(url=url, sha256=sha256), target, {})
    except HfHubHTTPError as exc:
        status = exc.response.status_code
        failure = DownloadInterrupted if status in PASSING or status >= 500 else DownloadFailed
        raise failure(f"{host_of(url)} answered {status}") from exc
    except OfflineModeIsEnabled as exc:
        raise DownloadInterrupted("HF_HUB_OFFLINE is set: nothing is downloaded") from exc
    return target
