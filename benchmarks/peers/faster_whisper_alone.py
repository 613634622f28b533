"""faster-whisper in int8, greedy: files one by one, by two workers, or in batched windows."""

import sys
from concurrent.futures import ThreadPoolExecutor

from faster_whisper import (  # type: ignore[import-not-found]
    BatchedInferencePipeline,
    WhisperModel,
)
from line_by_line import serve  # type: ignore[import-not-found, unused-ignore]

BATCH = 8  # windows of one file


def main(folder: str, how: str, threads: int) -> None:
    """Serve files' texts; *how* is alone, workers or batched."""
    workers = threads if how == "workers" else 1
    whisper = WhisperModel(
        folder,
        device="cpu",
        compute_type="int8",
        cpu_threads=threads // workers,
        num_workers=workers,
    )
    batched = BatchedInferencePipeline(whisper)

    def text(file: str) -> str:
        if how == "batched":
            segments, _ = batched.transcribe(file, beam_size=1, batch_size=BATCH)
        else:
            segments, _ = whisper.transcribe(file, beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    pool = ThreadPoolExecutor(workers)
    serve(lambda files: list(pool.map(text, files)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
