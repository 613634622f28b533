"""The beginning of a sentence, and the rest of it: together they are the sentence."""

from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from handler_kit.precision import MAX_DISTANCE, processor_precisions
from handler_kit.wav import Samples, from_pcm
from synthesis_kit.networks.hibari_network import HibariNetwork
from synthesis_kit.prosody import Prosody
from synthesis_kit.text.pronunciation import Pronunciation
from synthesis_kit.text.text_pieces import word_end
from synthesis_kit.utterance import Utterance
from synthesis_kit.word_times import SpokenWord
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import farthest, load_voice, say, unpacked
from tests.sentences import SENTENCES

RATE = 24000
EQUAL = 1e-3
LONG = SENTENCES[0]
IN_PARTS: dict[str, Any] = {"in_parts": True, "index": 0}


@pytest.fixture(scope="module")
def hibari(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_voice("hibari_tts", unpacked("hibari_tts", tmp_path_factory.mktemp("hibari")))


@pytest.fixture(scope="module")
def network(hibari: Loaded) -> HibariNetwork:
    return HibariNetwork.load(hibari.handler.folder, torch.device("cpu"))


def begin(handler: Loaded, text: str, **parameters: Any) -> tuple[Samples, dict[str, Any]]:
    """Return the beginning, and the parameters of the answer that holds it."""
    asked = IN_PARTS | {"only_beginning": True} | parameters
    header, (body,) = handler.job(text.encode(), type="text", parameters=asked)
    assert header.items[0].error is None
    return from_pcm(body), header.items[0].parameters


def go_on(
    handler: Loaded, told: dict[str, Any], **parameters: Any
) -> tuple[list[Samples], list[dict[str, Any]]]:
    """Return the rest, and the parameters of its answers."""
    scripts = [msgspec.json.encode(part["script"]) for part in told["rest"]]
    header, bodies = handler.job(*scripts, type="script", parameters=IN_PARTS | parameters)
    assert [item.error for item in header.items] == [None] * len(scripts)
    return [from_pcm(body) for body in bodies], [item.parameters for item in header.items]


def in_two(handler: Loaded, text: str, **parameters: Any) -> tuple[Samples, int]:
    """Return a sentence that is spoken in two, and at which sample the rest begins."""
    beginning, told = begin(handler, text, **parameters)
    rest, _ = go_on(handler, told, **parameters)
    return np.concatenate([beginning, *rest]), len(beginning)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"voice": "deep", "emotion": "sad"},
        {"voice": "bright", "speed": 1.5, "volume": 2.0},
        {"emotion": "excited", "pitch": 1.3, "seed": 5},
    ],
)
def test_a_beginning_and_its_rest_are_the_sentence(
    hibari: Loaded, parameters: dict[str, Any]
) -> None:
    for text in (LONG, "She stayed, although the last train to the coast had left long before."):
        both, joint = in_two(hibari, text, **parameters)
        assert farthest(both, say(hibari, text, **parameters)) < EQUAL
        assert 0.4 * RATE < joint < 1.6 * RATE


@torch.inference_mode()
def test_padding_does_not_change_a_part(network: HibariNetwork) -> None:
    """As on a GPU, where parts and whole sentences share a pass."""
    pronunciation = Pronunciation()
    symbols = [pronunciation.phonemes(text, normalized=True).symbols for text in SENTENCES[:3]]
    utterances = [
        Utterance(symbols[0][:12], after=symbols[0][12:]),
        Utterance(symbols[0][12:], before=symbols[0][:12], formants=0.85),
        Utterance(symbols[1], Prosody(pitch_range=1.5)),
        Utterance(symbols[2][20:30], before=symbols[2][:20], after=symbols[2][30:]),
    ]
    together = network.speak(utterances)
    alone = [network.speak([one])[0] for one in utterances]
    assert max(farthest(a.numpy(), b.numpy()) for a, b in zip(together, alone, strict=True)) < EQUAL


@pytest.mark.skipif("int8" not in processor_precisions(), reason="no AVX-512 VNNI here")
def test_in_int8_nothing_is_heard_of_the_joint(hibari: Loaded) -> None:
    """Rounded by the largest number of each part, samples differ no more than by the rounding."""
    low = load_voice("hibari_tts", hibari.handler.folder, {"precision": "int8"})
    for text in SENTENCES[:6]:
        both, joint = in_two(low, text)
        whole = say(low, text)
        assert both.shape == whole.shape
        assert np.linalg.norm(both - whole) <= MAX_DISTANCE * np.linalg.norm(whole)
        steps = np.abs(np.diff(both))
        assert steps[joint - 1] < 0.5 * steps[joint - RATE // 4 : joint + RATE // 4].max()


@torch.inference_mode()
def test_a_beginning_takes_a_part_of_the_work(network: HibariNetwork) -> None:
    symbols = "ðə tɹˈAn tə ðə kˈOst lˈivz fɹʌm plˈætfˌɔɹm sˈɛvən ˈɛvəɹi mˈɔɹnɪŋ."
    voiced: list[int] = []
    network.vocoder.register_forward_pre_hook(lambda _, given: voiced.append(len(given[0])))
    network.speak([Utterance(symbols)])
    network.speak([Utterance(symbols[:12], after=symbols[12:])])
    whole, beginning = voiced
    assert beginning < whole / 2


@pytest.mark.parametrize(
    "text", ["Why not?", "Good morning.", "Antidisestablishmentarianism.", "…"]
)
def test_what_is_short_has_no_rest(hibari: Loaded, text: str) -> None:
    audio, told = begin(hibari, text)
    assert "rest" not in told
    assert np.array_equal(audio, say(hibari, text, index=0))


def test_a_pause_and_the_pieces_of_a_long_sentence_have_their_place(hibari: Loaded) -> None:
    short = load_voice("hibari_tts", hibari.handler.folder, max_piece_symbols=60, pause_seconds=0.5)
    text = "The train to the coast leaves from platform seven, " * 2 + "and nobody knew it."
    both, _ = in_two(short, text, index=1)
    whole = say(short, text, index=1)
    assert not whole[: RATE // 2].any()
    assert farthest(both, whole) < EQUAL


def test_words_keep_their_times(hibari: Loaded) -> None:
    timed = {"timestamps": "word"}
    header, _ = hibari.job(LONG.encode(), type="text", parameters=timed)
    whole = [SpokenWord(*each) for each in header.items[0].parameters["words"]]
    beginning, told = begin(hibari, LONG, **timed)
    _, (later,) = go_on(hibari, told, **timed)
    found = [SpokenWord(*each) for each in told["words"]]
    assert 0 < len(found) < len(whole)
    found += [SpokenWord(*each).later(len(beginning) / RATE) for each in later["words"]]
    assert [each.word for each in found] == [each.word for each in whole]
    for one, other in zip(found, whole, strict=True):
        assert one.start == pytest.approx(other.start, abs=0.025)
        assert one.end == pytest.approx(other.end, abs=0.025)


def test_a_beginning_without_room_comes_back_as_the_script_of_all(hibari: Loaded) -> None:
    narrow = load_voice("hibari_tts", hibari.handler.folder, job_seconds=1.5)
    asked = IN_PARTS | {"only_beginning": True}
    header, bodies = narrow.job(*[LONG.encode()] * 2, type="text", parameters=asked)
    first, second = (item.parameters for item in header.items)
    assert "rest" in first
    assert second["unspoken"] is True
    parts = {"rest": msgspec.json.decode(bodies[1])}
    scripts = [{"rest": [part]} for part in parts["rest"]]
    spoken = [samples for script in scripts for samples in go_on(narrow, script)[0]]
    assert farthest(np.concatenate(spoken), say(hibari, LONG)) < EQUAL


def test_a_script_can_be_begun_too(hibari: Loaded) -> None:
    asked = IN_PARTS | {"only_read": True}
    _, (body,) = hibari.job(LONG.encode(), type="text", parameters=asked)
    (part,) = msgspec.json.decode(body)
    script = msgspec.json.encode(part["script"])
    asked = IN_PARTS | {"only_beginning": True}
    header, (pcm,) = hibari.job(script, type="script", parameters=asked)
    rest, _ = go_on(hibari, header.items[0].parameters)
    assert farthest(np.concatenate([from_pcm(pcm), *rest]), say(hibari, LONG)) < EQUAL


def test_what_surrounds_a_forged_part_is_bounded(hibari: Loaded) -> None:
    body = {"first": 0, "continued": False, "pieces": ["a" * 100], "before": "a" * 301}
    header, _ = hibari.job(msgspec.json.encode(body), type="script")
    assert header.items[0].status == 400
    assert "1 to 400 symbols" in str(header.items[0].error)


@pytest.mark.parametrize(
    ("symbols", "wanted", "end"),
    [
        ("aaa bbb ccc ddd eee", 8, 7),
        ("aaa bbb ccc ddd eee", 7, 7),
        ("aaaaaaaaaa bbbbbbbbb ccc", 4, 10),
        ("a bbbbbbbbbbbbbb ccccccccc", 6, 16),
        ("aaa bbb", 4, None),
        ("aaaaaaaaaaaaaaa", 4, None),
        ("", 4, None),
        (" aaa bbb ccc", 1, 4),
    ],
)
def test_a_beginning_ends_with_a_word(symbols: str, wanted: int, end: int | None) -> None:
    assert word_end(symbols, wanted) == end
