"""Several parts of one form: a file, and a field beside it."""

from ts.torch_handler.base_handler import BaseHandler


class PartsHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        return [
            {name: [type(part).__name__, len(part)] for name, part in sorted(row.items())}
            for row in data
        ]
