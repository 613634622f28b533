"""A repository of a model hub: its files at one commit."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec
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
from sidecar.downloads.messages import DownloadFailed, DownloadInterrupted, DownloadSettings
from sidecar.downloads.transfer import Remote, Transfer, broken_answer, guard_client

UNREACHABLE = (
    "the model hub {host} cannot be reached from here ({reason}); set SIDECAR_HUB_ENDPOINT to a "
    "mirror, or put the files into SIDECAR_LOCAL_MODELS_DIR and use the source local"
)
COMMIT = re.compile(r"[0-9a-f]{7,64}")
MALFORMED = (  # what the client and we ourselves raise for JSON of another shape
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
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

    def __init__(self, place: DownloadSettings) -> None:
        self._endpoint = place.endpoint or constants.ENDPOINT
        self._token = place.token
        self.guard = AddressGuard([*place.hosts, host_of(self._endpoint)])

    def look(self, model_id: str, revision: str | None) -> Repository:
        """Return the repository *model_id* now.  Raises DownloadFailed with a sentence."""
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
            raise DownloadFailed(f"{model_id} is not the name of a model on the hub") from exc
        except (httpx2.TransportError, OfflineModeIsEnabled, HfHubHTTPError) as exc:
            raise self._unreachable(exc) from exc
        except httpx2.RequestError as exc:
            raise broken_answer(self._endpoint, exc) from exc
        except MALFORMED as exc:
            raise _not_understood(model_id) from exc
        if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
            raise DownloadFailed("the hub did not say which commit this is")
        try:
            siblings = {each.rfilename: each for each in info.siblings or []}
            card = _card(info)
        except MALFORMED as exc:
            raise _not_understood(model_id) from exc
        if not all(isinstance(name, str) for name in siblings):
            raise _not_understood(model_id)
        files = {
            name: self._remote(model_id, info.sha, siblings[name]) for name in wanted(siblings)
        }
        return Repository(model_id, info.sha, card, files)

    def fetch(self, repository: Repository, folder: Path, transfer: Transfer) -> None:
        """Fetch the files of *repository* into *folder*.  Raises DownloadFailed."""
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
        try:
            return msgspec.convert(
                {
                    "url": hf_hub_url(
                        model_id, sibling.rfilename, revision=commit, endpoint=self._endpoint
                    ),
                    "size": large.size if large else sibling.size,
                    "sha256": large.sha256 if large else None,
                    "blob_id": None if large else sibling.blob_id,
                },
                Remote,
            )
        except MALFORMED as exc:
            raise _not_understood(model_id) from exc

    def _unreachable(self, exc: Exception) -> DownloadInterrupted:
        reason = type(exc).__name__
        if isinstance(exc, HfHubHTTPError):
            reason = f"status {exc.response.status_code}"
        elif isinstance(exc, OfflineModeIsEnabled):
            reason = "HF_HUB_OFFLINE is set"
        return DownloadInterrupted(UNREACHABLE.format(host=host_of(self._endpoint), reason=reason))


def _not_understood(model_id: str) -> DownloadFailed:
    return DownloadFailed(f"the hub's description of {model_id} is damaged")


def _card(info: Any) -> Card:
    said = info.card_data.to_dict() if info.card_data else {}
    languages = said.get("language") or []
    return Card(
        info.sha,
        info.pipeline_tag if isinstance(info.pipeline_tag, str) else None,
        str(said["license"]) if said.get("license") else None,
        tuple([languages] if isinstance(languages, str) else map(str, languages)),
    )
