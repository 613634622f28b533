"""The sidecar in front of the fake TorchServe, as tests/sidecar has it."""

from tests.sidecar.conftest import start, torchserve

__all__ = ["start", "torchserve"]
