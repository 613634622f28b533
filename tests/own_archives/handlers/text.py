"""A class after BaseHandler, for text: as most handlers of the examples are."""

from ts.torch_handler.base_handler import BaseHandler


class TextHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def preprocess(self, data):
        rows = [row.get("data") or row.get("body") for row in data]
        return [row.decode() if isinstance(row, (bytes, bytearray)) else row for row in rows]

    def inference(self, data):
        return [{"text": each, "letters": len(str(each))} for each in data]

    def postprocess(self, data):
        return data
