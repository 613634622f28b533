"""An extra file beside the handler, read where the archive was unpacked."""

import json
from pathlib import Path

from ts.torch_handler.base_handler import BaseHandler


class LabelsHandler(BaseHandler):
    def initialize(self, context):
        folder = Path(context.system_properties["model_dir"])
        self.labels = json.loads((folder / "index_to_name.json").read_text())
        self.initialized = True

    def handle(self, data, context):
        return [{"label": self.labels[str(row["body"])]} for row in data]
