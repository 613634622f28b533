"""API keys: 256 random bits each, kept as SHA-256.

A key of that many random bits cannot be guessed, so a fast hash is enough.  The look-up by hash
need not run in constant time: to learn anything from its duration an attacker would have to choose
the hash, which is as hard as guessing the key.
"""

import fcntl
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sidecar.access.identity import Identity
from sidecar.access.private_files import read_private
from sidecar.durable_files import decoded_record, write_whole
from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import SettingsError

PREFIX = "sk_"
KEY_BYTES = 32
LOOK_SECONDS = 1.0  # how long a change of the file may go unseen
DAY_SECONDS = 86_400

log = logging.getLogger(__name__)


class KeyRecord(msgspec.Struct):
    """What is stored of one key: everything but the key itself.  Times are epoch seconds."""

    id: str
    name: str
    sha256: str
    scopes: list[str]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def state(self, now: float) -> str:
        """Return ``valid``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= now
        return "expired" if expired else "valid"


class ApiKeys:
    """The keys in *path*, read again when it changes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._looked_at: float | None = None
        self._version: tuple[int, ...] | None = None  # None: to be read at the next look
        self._by_hash: dict[str, KeyRecord] | None = {}  # None: the file cannot be read

    def verify(self, key: str) -> Identity:
        """Return the identity that *key* belongs to.

        Raises NotAuthenticated with the reason, Unavailable while the file cannot be read:
        which keys are revoked is not known then.
        """
        record = self.find(key)
        if record is None:
            raise NotAuthenticated("The API key is unknown", invalid=True)
        state = record.state(self._clock())
        if state != "valid":
            raise NotAuthenticated(f"The API key is {state}", invalid=True)
        return Identity(record.name, frozenset(record.scopes), "api_key", record.expires_at)

    def find(self, key: str) -> KeyRecord | None:
        """Return the record of *key*, whatever its state."""
        self._look()
        if self._by_hash is None:
            raise Unavailable(
                "the server's file of API keys cannot be read",
                field="token",
                error="API keys cannot be checked right now",
            )
        return self._by_hash.get(_sha256(key))

    def records(self) -> list[KeyRecord]:
        """Return all keys, oldest first.  Raises SettingsError for a damaged file."""
        try:
            return msgspec.json.decode(read_private(self._path), type=list[KeyRecord])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as exc:
            raise SettingsError(f"{self._path}: not a file of API keys: {exc}") from exc

    def _readable(self) -> list[KeyRecord]:
        """Return the keys that can be read, for checks: an unreadable one locks nobody else out.

        Only `records` may be written back, since it leaves nothing out.
        """
        try:
            raw = msgspec.json.decode(read_private(self._path), type=list[msgspec.Raw])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as exc:
            raise SettingsError(f"{self._path}: not a file of API keys: {exc}") from exc
        read = (
            decoded_record(each, KeyRecord, f"{self._path}: record {number}")
            for number, each in enumerate(raw, start=1)
        )
        return [record for record in read if record is not None]

    def create(self, name: str, scopes: list[str], days: float | None) -> tuple[str, KeyRecord]:
        """Make a key; return it, which is the only time that it is shown, and its record."""
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        now = self._clock()
        record = KeyRecord(
            id=secrets.token_hex(4),
            name=name,
            sha256=_sha256(key),
            scopes=scopes,
            created_at=now,
            expires_at=None if days is None else now + days * DAY_SECONDS,
        )
        with self._writing() as records:
            records.append(record)
        return key, record

    def revoke(self, key_id: str) -> bool:
        """Revoke a key; return whether there is one with that id."""
        with self._writing() as records:
            found = [record for record in records if record.id == key_id]
            for record in found:
                if record.revoked_at is None:
                    record.revoked_at = self._clock()
        return bool(found)

    @contextmanager
    def _writing(self) -> Iterator[list[KeyRecord]]:
        """Yield the records, and store them after the block; one process at a time."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            records = self.records()
            yield records
            write_whole(self._path, msgspec.json.encode(records))

    def _look(self) -> None:
        now = self._clock()
        recently = self._looked_at is not None and 0 <= now - self._looked_at < LOOK_SECONDS
        if recently and self._by_hash is not None:
            return
        self._looked_at = now
        version = self._version_on_disk()
        if version == self._version:
            return
        try:
            self._by_hash, self._version = {key.sha256: key for key in self._readable()}, version
        except SettingsError as exc:
            log.error("API keys cannot be checked: %s", exc)  # noqa: TRY400 - a sentence is enough
            self._by_hash, self._version = None, None

    def _version_on_disk(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
