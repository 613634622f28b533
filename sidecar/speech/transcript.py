"""The text of a recording, put together from its stretches."""

from contextlib import aclosing

from sidecar.schemas.transcription import Segment
from sidecar.speech.transcription import Heard, Transcription


class Transcript:
    """The text of a recording, put together stretch by stretch."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._texts: list[str] = []
        self.language: str | None = None
        self.language_probability: float | None = None

    def add(self, heard: Heard) -> None:
        """Add the next stretch; the first one's language is the recording's."""
        if self.language is None:
            self.language = heard.language
            self.language_probability = heard.language_probability
        self.segments += heard.segments
        if text := heard.text.strip():
            self._texts.append(text)

    @property
    def text(self) -> str:
        """All that was said."""
        return " ".join(self._texts)

    def warnings(self, seconds: float) -> list[str]:
        """Return the warnings about the answer to *seconds* of audio."""
        return [] if self.segments else [f"no speech was found in {seconds:.2f} s of audio"]

    @property
    def confidence(self) -> float | None:
        """The segments' mean, each by its length; None where nothing was said."""
        seconds = [max(each.end - each.start, 0.01) for each in self.segments]
        if not seconds:
            return None
        weighted = zip(self.segments, seconds, strict=True)
        return sum(each.confidence * length for each, length in weighted) / sum(seconds)


async def write_down(transcription: Transcription) -> Transcript:
    """Return all that *transcription* hears.  Raises what the scheduler raises."""
    transcript = Transcript()
    async with aclosing(transcription.heard()) as parts:
        async for heard in parts:
            transcript.add(heard)
    return transcript
