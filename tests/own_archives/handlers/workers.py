"""Several workers: each answers what it is asked."""

import time

from ts.torch_handler.base_handler import BaseHandler


class WorkersHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        time.sleep(0.02)
        return [{"echo": row["body"]} for row in data]
