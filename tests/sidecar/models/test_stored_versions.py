"""Versions that only the model store has: what requests for them may cause."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sidecar.errors import InvalidVersion, SidecarError, VersionNotFound
from sidecar.models.model import Model
from sidecar.models.operator_changes import OperatorChanges
from sidecar.models.stored_versions import LOOK_AGAIN_SECONDS, TRY_AGAIN_SECONDS, StoredVersions
from tests.sidecar.catalog.test_own_archives import as_mar, files

MINE = cast("Model", SimpleNamespace(key="Mine"))


class Changes:
    """Notes which versions are loaded, and fails with *problem*."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.problem: SidecarError | None = None

    async def add_version(self, _: Model, version: str, __: str) -> None:
        self.loaded.append(version)
        if self.problem is not None:
            raise self.problem


class World:
    """A model store, and a clock that stands still."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.now = 1000.0
        self.changes = Changes()
        self.versions = StoredVersions(
            cast("OperatorChanges", self.changes), store, clock=lambda: self.now
        )

    def add(self, file: str, version: str, name: str = "Mine") -> None:
        as_mar(self.store / file, files(name, version=version))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("file", "name"),
    [("any.mar", "Mine"), ("Mine-2.0.mar", "other"), ("Mine.mar", "other")],
)
async def test_a_version_is_found_by_the_names_that_loading_looks_for(
    world: World, file: str, name: str
) -> None:
    world.add(file, "2.0", name)
    assert await world.versions.load(MINE, "2.0")
    assert world.changes.loaded == ["2.0"]


async def test_versions_that_the_store_does_not_have_change_nothing(world: World) -> None:
    """Anybody may ask for any number of them."""
    world.add("other.mar", "2.0", "Other")
    assert not await world.versions.load(MINE, "2.0")
    world.add("mine.mar", "2.0")
    for version in ("2.0", "2.1", "2.2"):
        assert not await world.versions.load(MINE, version)  # the store is not read again so soon
    assert world.changes.loaded == []
    world.now += LOOK_AGAIN_SECONDS
    assert await world.versions.load(MINE, "2.0")


async def test_a_version_that_cannot_be_loaded_is_tried_again_later(world: World) -> None:
    world.add("mine.mar", "2.0")
    world.changes.problem = InvalidVersion("mine.mar cannot be loaded: no module x")
    for _ in range(3):
        with pytest.raises(InvalidVersion, match="no module x"):
            await world.versions.load(MINE, "2.0")
    assert world.changes.loaded == ["2.0"]
    world.changes.problem = None
    world.now += TRY_AGAIN_SECONDS
    assert await world.versions.load(MINE, "2.0")


async def test_a_version_that_is_gone_as_it_is_loaded_is_not_there(world: World) -> None:
    world.add("mine.mar", "2.0")
    world.changes.problem = VersionNotFound("Mine", "2.0")
    assert not await world.versions.load(MINE, "2.0")
