"""The fake hub is one: the hub's own client downloads from it."""

import asyncio
from pathlib import Path

from huggingface_hub import close_session, snapshot_download

from sidecar.downloads.address_guard import AddressGuard
from sidecar.downloads.transfer import guard_client
from tests.hub import FakeHub
from tests.sidecar.downloads.conftest import TINY, Files


async def test_the_hubs_own_client_gets_every_byte(
    hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    commit = hub.add(TINY, checkpoint)
    guard_client(AddressGuard([hub.host]))
    folder = await asyncio.to_thread(
        snapshot_download, TINY, cache_dir=tmp_path, endpoint=hub.url, token=False
    )
    assert Path(folder).name == commit
    assert {name: (Path(folder) / name).read_bytes() for name in checkpoint} == checkpoint
    close_session()
