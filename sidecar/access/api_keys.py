"""API keys: 256 random bits each, kept as SHA-256.

A key of that many random bits cannot be guessed, so a fast hash is enough, and looking
the hash up tells nobody anything: to try hashes is to guess keys.
"""

import fcntl
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sidecar.access.identity import Identity
from sidecar.access.private_file import read_private, write_private
from sidecar.errors import NotAuthenticated
from sidecar.settings import SettingsError

PREFIX = "sk_"
KEY_BYTES = 32
LOOK_SECONDS = 1.0  # how long a change of the file may go unseen


class KeyRecord(msgspec.Struct):
    """One key, without the key.  Times are epoch seconds."""

    id: str
    name: str
    sha256: str
    scopes: list[str]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def state(self, now: float) -> str:
        """valid, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= now
        return "expired" if expired else "valid"


class ApiKeys:
    """The keys in *path*, read anew when it changes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = 0.0
        self._version: tuple[int, ...] | None = None
        self._by_hash: dict[str, KeyRecord] = {}

    def verify(self, key: str) -> Identity:
        """Whose key it is.  Raises NotAuthenticated with the reason."""
        self._look()
        record = self._by_hash.get(hashlib.sha256(key.encode(errors="replace")).hexdigest())
        if record is None:
            raise NotAuthenticated("The API key is unknown", invalid=True)
        state = record.state(self._clock())
        if state != "valid":
            raise NotAuthenticated(f"The API key is {state}", invalid=True)
        return Identity(record.name, frozenset(record.scopes), "api_key", record.expires_at)

    def records(self) -> list[KeyRecord]:
        """All keys, in the order of their making.  Raises SettingsError for a spoiled file."""
        try:
            return msgspec.json.decode(read_private(self._path), type=list[KeyRecord])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as exc:
            raise SettingsError(f"{self._path}: not a file of API keys: {exc}") from exc

    def create(self, name: str, scopes: list[str], days: float | None) -> tuple[str, KeyRecord]:
        """A new key, which is shown only now, and its record."""
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        now = self._clock()
        record = KeyRecord(
            id=secrets.token_hex(4),
            name=name,
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            scopes=scopes,
            created_at=now,
            expires_at=None if days is None else now + days * 86400,
        )
        with self._writing() as records:
            records.append(record)
        return key, record

    def revoke(self, key_id: str) -> bool:
        """Revokes a key; False when there is none of that id."""
        with self._writing() as records:
            found = [record for record in records if record.id == key_id]
            for record in found:
                record.revoked_at = record.revoked_at or self._clock()
        return bool(found)

    @contextmanager
    def _writing(self) -> Iterator[list[KeyRecord]]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            records = self.records()
            yield records
            write_private(self._path, msgspec.json.encode(records))

    def _look(self) -> None:
        now = self._clock()
        if 0 <= now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._version, self._by_hash = None, {}
            return
        version = (status.st_mtime_ns, status.st_size, status.st_ino)
        if version != self._version:
            self._by_hash = {record.sha256: record for record in self.records()}
            self._version = version
