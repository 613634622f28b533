"""Headers of the request read, content type and headers of the response set."""

from ts.torch_handler.base_handler import BaseHandler


class HeadersHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        answers = []
        for place in range(len(data)):
            context.set_response_content_type(place, "text/csv; charset=utf-8")
            context.set_response_header(place, "X-Rows", "1")
            asked = context.get_request_header(place, "X-Asked") or "nothing"
            kind = context.get_request_header(place, "Content-Type") or "no type"
            path = context.get_request_header(place, "url_path")
            answers.append(f"asked,kind,path\n{asked},{kind},{path}\n")
        return answers
