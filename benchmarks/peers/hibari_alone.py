"""hibari by its own package: onnxruntime on the published int8 graph, one thread."""

from hibari import Hibari
from line_by_line import serve  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    """Serve sentences; the answers are their seconds."""
    voice = Hibari(threads=1)

    def speak(sentences: list[str]) -> list[float]:
        return [len(voice(sentence)) / voice.sample_rate for sentence in sentences]

    serve(speak)


if __name__ == "__main__":
    main()
