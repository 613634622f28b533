"""onnx-asr with Whisper exported to ONNX: `python onnx_asr_alone.py FOLDER VAD_FOLDER PRECISION`.

Files up to 30 s are heard together; longer ones are cut where nobody speaks.
"""

import sys
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_asr
from line_by_line import serve

WINDOW_SECONDS = 30


def main(folder: str, activity: str, precision: str) -> None:
    """Serve files' texts."""
    quantization = None if precision == "fp32" else precision
    model = onnx_asr.load_model("whisper", folder, quantization=quantization)
    cutting = model.with_vad(onnx_asr.load_vad("silero", activity))

    def hear(files: list[str]) -> Iterator[tuple[int, str]]:
        clips = [_read(file) for file in files]
        if all(len(samples) <= WINDOW_SECONDS * rate for samples, rate in clips):
            (rate,) = {rate for _, rate in clips}
            texts: list[str] = model.recognize([samples for samples, _ in clips], sample_rate=rate)
            yield from enumerate(texts)
            return
        for place, (samples, rate) in enumerate(clips):
            segments = cutting.recognize(samples, sample_rate=rate)
            yield place, " ".join(each.text.strip() for each in segments)

    serve(hear)


def _read(file: str) -> tuple[Any, int]:
    with wave.open(file) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
        return samples.astype(np.float32) / np.float32(32768), wav.getframerate()


if __name__ == "__main__":
    main(*sys.argv[1:])
