"""A requirements.txt: installed when the operator allows it, and not needed here."""

import importlib.util

from ts.torch_handler.base_handler import BaseHandler


class PackagesHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        found = importlib.util.find_spec("a_package_that_nobody_has")
        return ["with" if found else "without"] * len(data)
