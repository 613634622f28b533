"""State that lives as long as the worker."""

from ts.torch_handler.base_handler import BaseHandler


class StateHandler(BaseHandler):
    def initialize(self, context):
        self.sums = {}
        self.initialized = True

    def handle(self, data, context):
        answers = []
        for row in data:
            order = row["body"]
            self.sums[order["who"]] = self.sums.get(order["who"], 0) + order["add"]
            answers.append({"sum": self.sums[order["who"]]})
        return answers
