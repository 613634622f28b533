"""Answers of megabytes, made of bytes."""

from ts.torch_handler.base_handler import BaseHandler


class BigHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        for place in range(len(data)):
            context.set_response_content_type(place, "application/octet-stream")
        return [bytes(range(256)) * (int(row["body"]) * 4096) for row in data]
