"""The example model in BentoML: `bentoml serve bentoml_server:Network --port PORT`."""

import bentoml
from example_network import MAX_BATCH_SIZE, load_network


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Network:
    """One worker, which waits by BentoML's own rule until a batch is full."""

    def __init__(self) -> None:
        self._run = load_network()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH_SIZE)
    def predict(self, inputs: list[list[float]]) -> list[float]:
        """Answer a batch."""
        return self._run(inputs)
