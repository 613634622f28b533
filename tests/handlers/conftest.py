"""Handlers ready to use."""

from functools import partial
from pathlib import Path

import pytest

import example_model
from tests.handlers.loaded import FaultyHandler, Loaded, LoadExample, load_from


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example model as it lies in its archive."""
    folder = tmp_path_factory.mktemp("example")
    source = Path(example_model.__file__)
    (folder / source.name).write_bytes(source.read_bytes())
    example_model.write_weights(folder / "model.safetensors")
    return folder


@pytest.fixture
def load_example(example_folder: Path) -> LoadExample:
    return partial(load_from, example_folder)


@pytest.fixture
def example(load_example: LoadExample) -> Loaded:
    return load_example()


@pytest.fixture(scope="session")
def shared_example(example_folder: Path) -> Loaded:
    """For tests that hypothesis calls many times."""
    return load_from(example_folder)


@pytest.fixture
def faulty(load_example: LoadExample) -> Loaded:
    return load_example(FaultyHandler)
