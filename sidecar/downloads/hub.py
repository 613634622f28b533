"""A repository of a model hub: its files at one commit."""

from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sidecar.downloads.address_guard import AddressGuard, host_of
from sidecar.downloads.describing import Card
from sidecar.downloads.file_names import wanted
from sidecar.downloads.order import DownloadFailed, Place
from sidecar.downloads.transfer import Remote, Transfer, guard_client

UNREACHABLE = (
    "the model hub {host} cannot be reached from here ({reason}); set SIDECAR_HUB_ENDPOINT to a "
    "mirror, or put the files into SIDECAR_LOCAL_MODELS_DIR and use the source local"
)


class Repository(NamedTuple):
    """What is wanted of one repository, at *commit*."""

    model_id: str
    commit: str
    card: Card
    files: dict[str, Remote]

    @property
    def size(self) -> int:
        """Bytes, as far as the hub says."""
        return sum(remote.size or 0 for remote in self.files.values())


class Hub:
    """One hub.  Its own host may be asked by http and have a private address."""

    def __init__(self, place: Place) -> None:
        self._endpoint = place.endpoint or constants.ENDPOINT
        self._token = place.token
        self.guard = AddressGuard([*place.hosts, host_of(self._endpoint)])

    def look(self, model_id: str, revision: str | None) -> Repository:
        """The repository *model_id* now.  Raises DownloadFailed with a sentence."""
        guard_client(self.guard)
        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        try:
            info = api.model_info(model_id, revision=revision, files_metadata=True)
        except (GatedRepoError, RepositoryNotFoundError) as exc:
            raise DownloadFailed(
                f"the hub has no model {model_id} that may be read with this server's token"
            ) from exc
        except RevisionNotFoundError as exc:
            raise DownloadFailed(f"{model_id} has no revision {revision}") from exc
        except HFValidationError as exc:
            raise DownloadFailed(f"{model_id} is no name of a model on the hub") from exc
        except (httpx2.TransportError, OfflineModeIsEnabled, HfHubHTTPError) as exc:
            raise self._unreachable(exc) from exc
        if not info.sha:
            raise DownloadFailed("the hub did not say which commit this is")
        siblings = {each.rfilename: each for each in info.siblings or []}
        files = {
            name: self._remote(model_id, info.sha, siblings[name]) for name in wanted(siblings)
        }
        return Repository(model_id, info.sha, _card(info), files)

    def fetch(self, repository: Repository, folder: Path, transfer: Transfer) -> None:
        """Its files into *folder*.  Raises DownloadFailed."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            for name, remote in repository.files.items():
                transfer.fetch(remote, folder / name, headers)
        except (OfflineModeIsEnabled, HfHubHTTPError) as exc:
            raise self._unreachable(exc) from exc
        except ValueError as exc:  # of the client, for files above 50 GB
            raise DownloadFailed("one of its files is too large") from exc

    def _remote(self, model_id: str, commit: str, sibling: Any) -> Remote:
        large = sibling.lfs
        return Remote(
            url=hf_hub_url(model_id, sibling.rfilename, revision=commit, endpoint=self._endpoint),
            size=large.size if large else sibling.size,
            sha256=large.sha256 if large else None,
            blob_id=None if large else sibling.blob_id,
        )

    def _unreachable(self, exc: Exception) -> DownloadFailed:
        reason = type(exc).__name__
        if isinstance(exc, HfHubHTTPError):
            reason = f"status {exc.response.status_code}"
        elif isinstance(exc, OfflineModeIsEnabled):
            reason = "HF_HUB_OFFLINE is set"
        return DownloadFailed(UNREACHABLE.format(host=host_of(self._endpoint), reason=reason))


def _card(info: Any) -> Card:
    said = info.card_data.to_dict() if info.card_data else {}
    languages = said.get("language") or []
    return Card(
        info.sha,
        info.pipeline_tag,
        str(said["license"]) if said.get("license") else None,
        tuple([languages] if isinstance(languages, str) else map(str, languages)),
    )
