"""A model behind an address: one archive file with the model's folder in it."""

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from sidecar.downloads.address_guard import AddressGuard, host_of
from sidecar.downloads.file_names import checked_name
from sidecar.downloads.order import DownloadFailed
from sidecar.downloads.transfer import Remote, Transfer
from sidecar.downloads.unpacking import SUFFIXES

USUAL = "model.zip"  # what a file is called here that has no usable name of its own


def archive_name(url: str) -> str:
    """The file's name at the end of *url*'s path.  Raises DownloadFailed for other kinds."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name.endswith(SUFFIXES):
        raise DownloadFailed(f"a file at an address must be one of {', '.join(SUFFIXES)}")
    return str(checked_name(name))


def fetch(url: str, sha256: str | None, folder: Path, transfer: Transfer) -> Path:
    """The file at *url*, in *folder*.  Raises DownloadFailed."""
    target = folder / hashlib.sha256(url.encode()).hexdigest()[:16] / archive_name(url)
    try:
        transfer.fetch(Remote(url=url, sha256=sha256), target, {})
    except HfHubHTTPError as exc:
        raise DownloadFailed(f"{host_of(url)} answered {exc.response.status_code}") from exc
    except OfflineModeIsEnabled as exc:
        raise DownloadFailed("HF_HUB_OFFLINE is set: nothing is downloaded") from exc
    return target


def check_address(url: str, guard: AddressGuard) -> None:
    """Raises DownloadFailed for an address that is never fetched, before anything is begun."""
    archive_name(url)
    guard.check(url)
