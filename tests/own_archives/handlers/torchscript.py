"""A TorchScript file, loaded by BaseHandler as TorchServe's own handlers do."""

import torch
from ts.torch_handler.base_handler import BaseHandler


class ScriptHandler(BaseHandler):
    def preprocess(self, data):
        rows = [row.get("data") or row.get("body") for row in data]
        return torch.as_tensor(rows, dtype=torch.float32)

    def postprocess(self, data):
        return data.tolist()
