"""What a model's handler says of itself."""

import logging

import msgspec

from sidecar.autoscaling.model_status import Runtime
from sidecar.torchserve.client import EngineGone, EngineRefused, TorchServeClient

log = logging.getLogger(__name__)


async def describe_runtime(client: TorchServeClient, key: str) -> Runtime | None:
    """None from a handler that is not ours."""
    try:
        model = await client.describe(key, customized=True)
        said = model.customized_metadata if model else None
        if isinstance(said, str):
            return msgspec.json.decode(said, type=Runtime)
        return msgspec.convert(said, Runtime)
    except (EngineGone, EngineRefused, msgspec.DecodeError) as exc:
        log.warning("%s: says nothing of itself: %s", key, exc)
        return None
