"""Pictures, as bytes or in base64, as the vision handlers of TorchServe take them."""

import base64
import io

from PIL import Image
from ts.torch_handler.base_handler import BaseHandler


class PictureHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def preprocess(self, data):
        pictures = []
        for row in data:
            picture = row.get("data") or row.get("body")
            if isinstance(picture, str):
                picture = base64.b64decode(picture)
            pictures.append(Image.open(io.BytesIO(picture)).convert("RGB"))
        return pictures

    def inference(self, data):
        return [
            {"width": each.width, "height": each.height, "first": list(each.getpixel((0, 0)))}
            for each in data
        ]

    def postprocess(self, data):
        return data
