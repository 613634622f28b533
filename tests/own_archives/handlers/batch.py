"""Batches, and keys of its own in model-config.yaml."""

from ts.torch_handler.base_handler import BaseHandler


class BatchHandler(BaseHandler):
    def initialize(self, context):
        self.factor = context.model_yaml_config["scaling"]["factor"]
        self.initialized = True

    def handle(self, data, context):
        return [{"result": row["body"]["number"] * self.factor} for row in data]
