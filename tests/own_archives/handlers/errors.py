"""Statuses of its own, for one row or for all, and exceptions."""

from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException


class ErrorsHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        answers = []
        for place, row in enumerate(data):
            wish = row["body"]["wish"]
            if wish == "exception":
                raise ValueError("as it was told")
            if wish == "prediction":
                raise PredictionException("this one is not for us", 422)
            if wish == "short":
                return []
            if wish == "no list":
                return {}
            if wish == "status":
                context.set_response_status(code=418, phrase="I am a teapot", idx=place)
                answers.append({"error": "a teapot"})
            else:
                answers.append({"wish": wish})
        return answers
