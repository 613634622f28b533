"""faster-whisper in int8, greedy: files one by one, by two workers, or in batched windows."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from faster_whisper import BatchedInferencePipeline, WhisperModel
from line_by_line import serve

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

    def hear(files: list[str]) -> Iterator[tuple[int, str]]:
        running = {pool.submit(text, file): place for place, file in enumerate(files)}
        for each in as_completed(running):
            yield running[each], each.result()

    serve(hear)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
