"""`scripts/models add`: a new entry is checked, its archive built, and models.json told of it.

Nothing is changed unless all of it works.  A running server takes the entry by itself.
"""

import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sidecar.archives import archive
from sidecar.catalog.catalog import Catalog, parse_specs
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.model_store import archive_path
from sidecar.catalog.models_file import Entry, ModelsFile
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import Settings
from sidecar.state_folder import owner_address

NOTICE_SECONDS = 15.0  # the server looks at models.json every two seconds
LOAD_SECONDS = 120.0
LOOK_SECONDS = 0.5

Say = Callable[[str], None]


class _Told(msgspec.Struct):
    """What a server says about a model."""

    state: str
    error: str | None


def read_entries(path: Path, text: str) -> dict[str, Entry]:
    """Return the entries that *text*, from *path*, holds: `{"name": {…}}`, or a whole models.json.

    Raises CatalogError.
    """
    try:
        given: Any = json.loads(text)
    except ValueError as exc:
        raise CatalogError(f"{path}: {exc}") from exc
    if isinstance(given, dict) and isinstance(given.get("models"), dict):
        given = given["models"]
    if not (isinstance(given, dict) and given and all(map(_is_object, given.values()))):
        raise CatalogError(f'{path}: expected {{"name": {{…}}}}, an entry as models.json has them')
    return given


@contextmanager
def stored(archive: Path, store: Path) -> Iterator[None]:
    """Put *archive* into *store* when the block has ended well, unless it is there already.

    Raises CatalogError when another one has its name.
    """
    place = store / archive.name
    if archive.resolve() == place.resolve():
        yield
        return
    if place.exists():
        raise CatalogError(f"{place}: an archive of this name is there already")
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".add-", dir=store) as folder:
        copy = Path(folder) / archive.name
        if archive.is_dir():
            shutil.copytree(archive, copy)
        else:
            shutil.copy2(archive, copy)
        yield
        copy.rename(place)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def add_entries(
    settings: Settings, catalog: Catalog, entries: Mapping[str, Entry], where: str, say: Say
) -> Mapping[str, ModelSpec]:
    """Add *entries*, read from *where*, to models.json, and build their archives first.

    Returns the entries.  Raises CatalogError, BuildError and OSError; models.json is as it was
    then.
    """
    specs = parse_specs(json.dumps({"models": entries}).encode(), where, settings.model_store)
    for key, spec in specs.items():
        catalog = catalog.with_entry(key, spec)  # refuses a name that another model has
    for key, spec in specs.items():
        build_unless_current(settings, key, spec, say)
    new = ModelsFile(settings.models_file, settings.state_dir).add(entries)
    for key in entries:
        said = f"is in {settings.models_file} now" if key in new else "was there already"
        say(f"{key} {said}")
    return specs


def build_unless_current(settings: Settings, key: str, spec: ModelSpec, say: Say) -> None:
    """Build the archive of *key* from the operator's own files.  Raises BuildError."""
    base, path = settings.models_file.resolve().parent, archive_path(settings.model_store, key)
    if (
        spec.is_own
        or not spec.enabled
        or spec.is_downloaded
        or archive.is_current(path, key, spec, base)
    ):
        return
    say(f"building {path}")
    archive.build(path, key, spec, base=base, cache=settings.state_dir / "packages")


def tell_of_server(settings: Settings, specs: Mapping[str, ModelSpec], say: Say) -> bool:
    """Report what the server of this state folder makes of *specs*; return whether all is well.

    Waits until it has noticed them, and until those that it loads are there.
    """
    address = owner_address(settings.state_dir)
    if address is None:
        say("scripts/serve starts the server with it")
        return True
    url = _url(address)
    lost = [key for key, spec in specs.items() if not _tell(url, key, say, loads=spec.auto_load)]
    return not lost


def _url(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tell(url: str, key: str, say: Say, *, loads: bool) -> bool:
    began, told = time.monotonic(), None
    while True:
        told = _ask(f"{url}/models/{key}") or told
        waited = time.monotonic() - began
        begins = told is None or (loads and told.state == "archived")
        loading = told is not None and told.state == "loading"
        if not (begins and waited < NOTICE_SECONDS) and not (loading and waited < LOAD_SECONDS):
            break
        time.sleep(LOOK_SECONDS)
    if told is None:
        say(f"{key}: the server at {url} has not noticed it; its server.log says why")
        return False
    if told.error is not None:
        say(f"{key}: {told.error}")
        return False
    how = "the first request loads it" if told.state == "archived" else f"it is {told.state}"
    say(f"{key}: the server at {url} has it; {how}")
    return True


def _ask(url: str) -> _Told | None:
    """Return what the server says; None while it does not know the model."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as response:
            return msgspec.json.decode(response.read(), type=_Told)
    except (OSError, msgspec.DecodeError):
        return None
