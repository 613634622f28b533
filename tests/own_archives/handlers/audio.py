"""A WAV in, a WAV out at half its loudness."""

import array
import io
import wave

from ts.torch_handler.base_handler import BaseHandler


class AudioHandler(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        answers = []
        for place, row in enumerate(data):
            with wave.open(io.BytesIO(row["body"])) as given:
                rate, samples = given.getframerate(), array.array("h", given.readframes(1 << 20))
            made = io.BytesIO()
            with wave.open(made, "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes(array.array("h", [each // 2 for each in samples]).tobytes())
            context.set_response_content_type(place, "audio/wav")
            answers.append(made.getvalue())
        return answers
