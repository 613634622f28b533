"""Intermediate answers: the client gets them piece by piece."""

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.torch_handler.base_handler import BaseHandler


class StreamHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        count = int(data[0]["body"])
        for number in range(count):
            send_intermediate_predict_response(
                [f"piece {number}\n"] * len(data), context.request_ids, "Intermediate", 200, context
            )
        return ["the end\n"] * len(data)
