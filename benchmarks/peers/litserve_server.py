"""The example model in LitServe: `python litserve_server.py PORT`."""

import sys
from typing import Any

import litserve
from example_network import MAX_BATCH_SIZE, MAX_WAIT_SECONDS, load_network


class Network(litserve.LitAPI):
    """One worker."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model."""
        self._run = load_network()

    def decode_request(self, request: list[float]) -> list[float]:
        """Take the row as it is."""
        return request

    def batch(self, inputs: list[list[float]]) -> list[list[float]]:
        """Leave the rows a list."""
        return inputs

    def predict(self, inputs: list[list[float]]) -> list[float]:
        """Answer a batch."""
        return self._run(inputs)

    def unbatch(self, output: list[float]) -> list[float]:
        """Leave the answers a list."""
        return output

    def encode_response(self, output: float) -> Any:
        """Take the number as it is."""
        return {"output": output}


if __name__ == "__main__":
    network = Network(max_batch_size=MAX_BATCH_SIZE, batch_timeout=MAX_WAIT_SECONDS)
    server = litserve.LitServer(network, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
