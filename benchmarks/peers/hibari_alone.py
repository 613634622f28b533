"""hibari by its own package: onnxruntime on the published int8 graph, one thread."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
from hibari import Hibari
from line_by_line import serve


def main() -> None:
    """Serve sentences; an answer is its rate and its samples, s16le in base64."""
    voice = Hibari(threads=1)

    def speak(sentences: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, sentence in enumerate(sentences):
            samples = np.asarray(voice(sentence)).clip(-1, 1)
            pcm = (samples * 32767).astype("<i2").tobytes()
            yield place, {"rate": voice.sample_rate, "pcm": base64.b64encode(pcm).decode()}

    serve(speak)


if __name__ == "__main__":
    main()
