"""SubRip and WebVTT."""

from sidecar.schemas.transcription import Segment
from sidecar.speech.subtitles import srt, vtt

SEGMENTS = [
    Segment(0.0, 1.5, " Hello there.", 0.9, 0.01),
    Segment(3725.04, 3726.9996, " 1 < 2 & 3 --> 4", 0.8, 0.02),
]


def test_subrip_numbers_its_cues_and_has_commas() -> None:
    assert srt(SEGMENTS) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n"
        "2\n01:02:05,040 --> 01:02:07,000\n1 < 2 & 3 --> 4\n"
    )


def test_webvtt_escapes_what_would_be_markup() -> None:
    assert vtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n"
        "01:02:05.040 --> 01:02:07.000\n1 &lt; 2 &amp; 3 --&gt; 4\n"
    )


def test_without_speech_there_are_no_cues() -> None:
    assert srt([]) == ""
    assert vtt([]) == "WEBVTT\n"
