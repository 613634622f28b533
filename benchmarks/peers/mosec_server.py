"""The example model in mosec: `python mosec_server.py --port PORT --timeout MS`."""

from example_network import MAX_BATCH_SIZE, MAX_WAIT_SECONDS, load_network
from mosec import Server, Worker


class Network(Worker):
    """One worker; mosec decodes and encodes JSON."""

    def __init__(self) -> None:
        self._run = load_network()

    def forward(self, data: list[list[float]]) -> list[float]:
        """Answer a batch."""
        return self._run(data)


if __name__ == "__main__":
    server = Server()
    wait_ms = round(MAX_WAIT_SECONDS * 1000)
    server.append_worker(Network, max_batch_size=MAX_BATCH_SIZE, max_wait_time=wait_ms)
    server.run()
