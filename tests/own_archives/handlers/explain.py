"""Explanations: the header that TorchServe sets says which of the two is asked for."""

from ts.torch_handler.base_handler import BaseHandler


class ExplainHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        return [
            {"explained": context.get_request_header(place, "explain") == "True"}
            for place in range(len(data))
        ]
