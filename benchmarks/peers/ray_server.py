"""The example model in Ray Serve: `python ray_server.py PORT`."""

import sys
from typing import Any

import ray
from example_network import MAX_BATCH_SIZE, MAX_WAIT_SECONDS, load_network
from ray import serve

MAX_ONGOING = 1024


@serve.deployment(num_replicas=1, max_ongoing_requests=MAX_ONGOING)
class Network:
    """One replica."""

    def __init__(self) -> None:
        self._run = load_network()

    @serve.batch(max_batch_size=MAX_BATCH_SIZE, batch_wait_timeout_s=MAX_WAIT_SECONDS)
    async def predict(self, rows: list[list[float]]) -> list[float]:
        """Answer a batch."""
        return self._run(rows)

    async def __call__(self, request: Any) -> Any:
        """Answer a request."""
        return {"output": await self.predict(await request.json())}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Network.bind(), blocking=True)  # type: ignore[attr-defined]
