"""One server for each test, which may break it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import archives, token
from tests.integration.server import Server, quick_catalog

__all__ = ["archives", "token"]


@pytest.fixture
def own_server(archives: None, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """TorchServe and the sidecar with one model."""
    model = getattr(request, "param", "example")
    with Server(tmp_path, models_file=str(quick_catalog(tmp_path, model))).running() as server:
        yield server
