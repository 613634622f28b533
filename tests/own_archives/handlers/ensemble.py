"""Two networks in one archive, whose answers are put together without a workflow."""

from pathlib import Path

import torch
from ts.torch_handler.base_handler import BaseHandler


class EnsembleHandler(BaseHandler):
    def initialize(self, context):
        folder = Path(context.system_properties["model_dir"])
        self.networks = [torch.jit.load(folder / name) for name in ("first.pt", "second.pt")]
        self.initialized = True

    def handle(self, data, context):
        rows = torch.tensor([row["body"] for row in data], dtype=torch.float32)
        with torch.inference_mode():
            answers = [network(rows) for network in self.networks]
        mean = torch.stack(answers).mean(0)
        return [
            {"each": [a[i].tolist() for a in answers], "mean": mean[i].tolist()}
            for i in range(len(data))
        ]
