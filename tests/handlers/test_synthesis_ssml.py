"""SSML, pronunciations, pauses and other scripts, as a job gives them to hibari's voice."""

from typing import Any

import msgspec
import numpy as np
import pytest

from handler_kit.errors import InvalidInput
from handler_kit.wav import from_pcm
from synthesis_kit.text.ssml import Passage, passages
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import farthest, load_voice, refusal, say, unpacked

RATE = 24000
SSML: dict[str, Any] = {"input_type": "ssml"}


@pytest.fixture(scope="module")
def hibari(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_voice("hibari_tts", unpacked("hibari_tts", tmp_path_factory.mktemp("hibari")))


def parsed(document: str) -> list[Passage]:
    return passages(document, lambda code: code.startswith("en"))


def test_a_document_becomes_passages() -> None:
    assert parsed(
        '<speak>One <break time="500ms"/>two <prosody rate="150%" pitch="+10%" volume="loud">three'
        '</prosody><emphasis level="strong">four</emphasis></speak>'
    ) == [
        Passage("One"),
        Passage("two", pause=0.5),
        Passage("three", speed=1.5, pitch=1.1, volume=1.4),
        Passage("four", speed=0.85, volume=1.4),
    ]


def test_nested_prosody_multiplies_and_ends_with_its_element() -> None:
    document = '<speak><prosody rate="1.2">a <prosody rate="0.5">b</prosody> c</prosody> d</speak>'
    assert [each.speed for each in parsed(document)] == [1.2, 0.6, 1.2, 1.0]


def test_paragraphs_pause_and_sentences_stand_alone() -> None:
    found = parsed("<speak><p><s>One</s><s>Two</s></p><p>Three</p></speak>")
    assert [(each.text, each.pause) for each in found] == [
        ("One.", 0.0),
        ("Two.", 0.0),
        ("Three.", 0.5),
    ]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('time="1.5s"', 1.5), ('time="250ms"', 0.25), ('strength="strong"', 0.8), ("", 0.4)],
)
def test_a_break_lasts_as_long_as_it_says(hibari: Loaded, written: str, seconds: float) -> None:
    document = f"<speak>Yes.<break {written}/>No.</speak>"
    plain = say(hibari, "<speak>Yes.<s>No.</s></speak>", **SSML)
    assert len(say(hibari, document, **SSML)) - len(plain) == pytest.approx(seconds * RATE, abs=2)


def test_a_break_at_the_end_and_several_in_a_row_are_heard(hibari: Loaded) -> None:
    plain = say(hibari, "<speak>Yes.</speak>", **SSML)
    ends = say(hibari, '<speak>Yes.<break time="1s"/><break time="1s"/></speak>', **SSML)
    assert len(ends) - len(plain) == 2 * RATE
    assert not ends[-2 * RATE :].any()


def test_prosody_is_heard(hibari: Loaded) -> None:
    def spoken(attributes: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        text = f"<speak><prosody {attributes}>We spoke of it all day.</prosody></speak>"
        return say(hibari, text, **SSML)

    plain, fast, quiet = spoken(""), spoken('rate="150%"'), spoken('volume="-6dB"')
    assert len(fast) == pytest.approx(len(plain) / 1.5, rel=0.05)
    assert np.abs(quiet).max() == pytest.approx(np.abs(plain).max() / 2, rel=0.05)
    assert farthest(plain, say(hibari, "We spoke of it all day.")) < 1e-3


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ('<sub alias="World Wide Web">WWW</sub>', "World Wide Web"),
        ('<say-as interpret-as="characters">cat</say-as>', "C A T"),
        ('<say-as interpret-as="date" format="dmy">1.2.2024</say-as>', "February first, 2024"),
        ("a &lt; b &amp; c", "a less than b and c"),
        ("<![CDATA[5 > 3]]>", "5 > 3"),
        ('<phoneme ph="ʤɪf">GIF</phoneme>', "GIF"),
    ],
)
def test_say_as_sub_and_phoneme_change_words(hibari: Loaded, document: str, text: str) -> None:
    words = {"GIF": "ʤɪf"} if "phoneme" in document else {}
    spoken = say(hibari, f"<speak>{document}</speak>", **SSML)
    assert farthest(spoken, say(hibari, text, pronunciations=words)) < 1e-3


REFUSED = [
    ("Hello", "not well-formed SSML"),
    ("<speak>Hello", "not well-formed SSML"),
    ("<p>Hello</p>", "one <speak> element"),
    ("<speak><speak>a</speak></speak>", "one <speak> element"),
    (
        '<speak><audio src="x.mp3"/></speak>',
        "<audio> is not supported; expected one of: break, emphasis",
    ),
    ('<speak><voice name="x">a</voice></speak>', "<voice> is not supported"),
    ('<speak><prosody range="high">a</prosody></speak>', "range of <prosody> is not supported"),
    ('<speak><prosody rate="warp">a</prosody></speak>', "rate of <prosody>: must be x-slow"),
    ('<speak><prosody rate="900%">a</prosody></speak>', "rate of <prosody>: must be 0.5 to 2"),
    ('<speak><prosody pitch="5">a</prosody></speak>', "pitch of <prosody>: must be x-low"),
    ('<speak><prosody volume="silent">a</prosody></speak>', "volume of <prosody>: must be"),
    ('<speak><break time="soon"/></speak>', "time of <break>: must look like 500ms"),
    ('<speak><break time="99s"/></speak>', "time of <break>: must be at most 10 seconds"),
    ('<speak><break strength="huge"/></speak>', "strength of <break>: expected one of: none"),
    ("<speak><break>a</break></speak>", "<break> must not contain text"),
    ('<speak><emphasis level="very">a</emphasis></speak>', "emphasis level: expected one of: "),
    ("<speak><sub>a</sub></speak>", "<sub> needs alias"),
    ("<speak><say-as>a</say-as></speak>", "<say-as> needs interpret-as"),
    (
        '<speak><say-as interpret-as="x">a</say-as></speak>',
        "<say-as>: interpret-as: expected one of",
    ),
    ('<speak><phoneme alphabet="x-sampa" ph="a">a</phoneme></speak>', "alphabet of <phoneme>"),
    ('<speak><phoneme ph="ʁɛ">a</phoneme></speak>', "the voice does not have the sounds ʁ"),
    ('<speak xml:lang="de">a</speak>', "xml:lang: the voice does not speak de"),
    ("<!DOCTYPE speak [<!ENTITY a 'b'>]><speak>&a;</speak>", "must not have a document type"),
    ("<speak>" + "<s/>" * 1001 + "</speak>", "may have at most 1000 elements"),
    ("<speak>" + "<p>" * 40 + "</p>" * 40 + "</speak>", "nested at most 32 deep"),
    ("<speak></speak>", "holds nothing that can be spoken"),
    ("<speak>" + '<break time="10s"/>' * 7 + "a</speak>", "breaks in a row may last at most 60 s"),
    ("<speak>" + 'a<break time="10s"/>' * 70 + "</speak>", "at most 600 s are allowed"),
]


@pytest.mark.parametrize(("document", "reason"), REFUSED)
def test_unsupported_ssml_is_refused_by_name(hibari: Loaded, document: str, reason: str) -> None:
    assert reason in refusal(hibari, document, **SSML)


def test_a_network_without_pitch_refuses_it() -> None:
    with pytest.raises(InvalidInput, match="format: dmy needs 3"):
        parsed('<speak><say-as interpret-as="date" format="dmy">1.2</say-as></speak>')


def test_a_script_keeps_pauses_and_manners(hibari: Loaded) -> None:
    document = (
        '<speak>One.<break time="700ms"/><prosody rate="1.3" volume="soft">Two. Three.</prosody>'
        '<break time="300ms"/></speak>'
    )
    asked = SSML | {"in_parts": True, "only_read": True}
    _, (body,) = hibari.job(document.encode(), type="text", parameters=asked)
    parts = msgspec.json.decode(body)
    audio = []
    for part in parts:
        script = msgspec.json.encode(part["script"])
        header, (pcm,) = hibari.job(script, type="script", parameters={"in_parts": True})
        assert header.items[0].error is None
        audio.append(from_pcm(pcm))
    whole = say(hibari, document, **SSML)
    assert farthest(np.concatenate(audio), whole) < 1e-3
    assert sum(part["seconds"] for part in parts) == pytest.approx(len(whole) / RATE, rel=0.4)


def test_a_client_gives_pronunciations(hibari: Loaded) -> None:
    own = say(hibari, "A GIF.", pronunciations={"GIF": "ʤɪf"})
    assert len(own) != len(say(hibari, "A GIF.")) or farthest(own, say(hibari, "A GIF.")) > 1e-3
    assert "pronunciations: GIF: the voice does not have the sounds ʁ" in refusal(
        hibari, "A GIF.", pronunciations={"GIF": "ʁɪf"}
    )


def test_omitted_words_are_told_with_audio_and_script(hibari: Loaded) -> None:
    for asked in ({}, {"in_parts": True, "only_read": True}):
        header, _ = hibari.job("Hello Привет, 世界.".encode(), type="text", parameters=asked)
        told = header.items[0].parameters
        assert told["left_out"] == {"Cyrillic": ["Привет"], "Chinese characters": ["世界"]}
    header, _ = hibari.job(b"Hello.", type="text")
    assert "left_out" not in header.items[0].parameters
    many = " ".join(f"{'ж' * 60}{chr(0x430 + each)}" for each in range(30))
    header, _ = hibari.job(f"Hello {many}".encode(), type="text")
    words = header.items[0].parameters["left_out"]["Cyrillic"]
    assert (len(words), max(map(len, words))) == (10, 40)


def test_lines_and_paragraphs_end_phrases_and_sentences(hibari: Loaded) -> None:
    assert farthest(say(hibari, "One two\nthree four"), say(hibari, "One two, three four")) < 1e-3
    assert farthest(say(hibari, "One two\n\nthree"), say(hibari, "One two. three")) < 1e-3
