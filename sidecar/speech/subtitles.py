"""Segments as subtitles: SubRip (.srt) and WebVTT (https://www.w3.org/TR/webvtt1/)."""

from collections.abc import Sequence
from typing import Protocol


class Cue(Protocol):
    """A caption, or a segment of a transcript: shown from *start* to *end*, in seconds."""

    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def end(self) -> float: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102


def srt(segments: Sequence[Cue]) -> str:
    """Return SubRip: numbered cues, commas before the milliseconds."""
    cues = [
        f"{number}\n{_time(each.start, ',')} --> {_time(each.end, ',')}\n{each.text.strip()}\n"
        for number, each in enumerate(segments, start=1)
    ]
    return "\n".join(cues)


def vtt(segments: Sequence[Cue]) -> str:
    """Return WebVTT; the three characters that mean something in a cue are escaped."""
    cues = [
        f"{_time(each.start, '.')} --> {_time(each.end, '.')}\n{_escaped(each.text.strip())}\n"
        for each in segments
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
