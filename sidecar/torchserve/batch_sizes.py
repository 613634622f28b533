"""Tells our workers which models' batches come as one request, and how large they may be.

A worker reads it when it loads its model (`forked_workers.request_batches`).  It is how the handler
learns the batch size, too, since TorchServe itself is told 1.
"""

from pathlib import Path


class BatchSizes:
    """A *folder* with a file for each such model, named like it, that holds the batch size."""

    VARIABLE = "WORKER_BATCH_SIZES"  # in which workers find the folder

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tell(self, model: str, size: int | None) -> None:
        """Let workers of *model* that start from now on know it; None: requests come one by one."""
        file = self.folder / model
        if size is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(str(size))
