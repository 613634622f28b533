"""The parts of recognition_kit that need no network."""

import math

import numpy as np
import pytest
import torch

from handler_kit.wav import Samples
from recognition_kit.audio_pieces import AudioPiece, cut, halve
from recognition_kit.transcript import Segment, mean_confidence
from recognition_kit.whisper.alignment import warp
from recognition_kit.whisper.hypothesis import Hypothesis, compression_ratio
from recognition_kit.whisper.logit_filter import LogitFilter
from recognition_kit.whisper.prompts import is_cut, is_echo, usable_prompt, without_repetitions
from recognition_kit.whisper.text_spans import TextSpan, find_rest, find_spans
from recognition_kit.whisper.vocabulary import Vocabulary
from recognition_kit.whisper.word_times import split_words

RATE = 16000
END, START, NO_TIMES = 10, 11, 16
T0 = NO_TIMES + 1
VOCABULARY = Vocabulary(
    end=END,
    start=START,
    previous=14,
    no_speech=15,
    no_timestamps=NO_TIMES,
    languages={},
    tasks={},
    never=(3, *range(END + 1, T0)),
    never_first=(0, END),
    last_first_timestamp=50,
)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(2).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def test_a_short_clip_is_one_piece_and_an_empty_one_none() -> None:
    assert cut(noise(30), 30 * RATE, RATE) == [(0, 30 * RATE)]
    assert cut(noise(0), 30 * RATE, RATE) == []


def test_a_long_clip_is_cut_where_it_is_quiet() -> None:
    samples = noise(70)
    samples[int(27.0 * RATE) : int(27.6 * RATE)] *= 0.01
    samples[int(52.2 * RATE) : int(52.7 * RATE)] = 0
    pieces = cut(samples, 30 * RATE, RATE)
    assert [piece.end / RATE for piece in pieces] == pytest.approx([27.3, 52.45, 70], abs=0.2)
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ([], {T0 + step for step in range(51)}),
        ([T0 + 5], {0, 1, 2, *range(4, END + 1)}),
        ([T0 + 5, 1], {0, 1, 2, *range(4, END + 1), *range(T0 + 6, T0 + 80)}),
        ([T0 + 5, 1, T0 + 9], {END, *range(T0 + 9, T0 + 80)}),
        ([T0 + 5, 1, T0 + 9, T0 + 9], {0, 1, 2, *range(4, END + 1)}),
    ],
)
def test_times_come_in_pairs_and_never_go_back(said: list[int], allowed: set[int]) -> None:
    logit_filter = LogitFilter(
        VOCABULARY, torch.device("cpu"), timestamps=True, suppress_blank=True
    )
    logits = torch.full((1, T0 + 80), -20.0)
    logits[0, :END] = 20.0  # sure of text: the rule that times win is not asked
    logits[0, END] = 20.0
    logit_filter.apply(logits, torch.tensor([said], dtype=torch.int64))
    found = {place for place, value in enumerate(logits[0].tolist()) if value > -math.inf}
    assert found == allowed


def test_a_timestamp_is_chosen_if_all_timestamps_together_are_more_probable() -> None:
    logit_filter = LogitFilter(
        VOCABULARY, torch.device("cpu"), timestamps=True, suppress_blank=True
    )
    logits = torch.zeros(1, T0 + 80)
    logits[0, 1] = 3.0
    logit_filter.apply(logits, torch.tensor([[T0, 1]]))
    assert logits[0, :T0].max() == -math.inf


def hypothesis(*tokens: int) -> Hypothesis:
    return Hypothesis(list(tokens), [-0.5] * len(tokens), -0.5, ended=True)


def test_text_between_times_is_a_span_and_no_time_is_beyond_the_end() -> None:
    said = hypothesis(T0, 1, 2, T0 + 50, T0 + 60, 4, T0 + 400)
    spans = find_spans(said, VOCABULARY, 3.0)
    assert [one._replace(start=round(one.start, 9)) for one in spans] == [
        TextSpan(0.0, 1.0, 1, 3),
        TextSpan(1.2, 3.0, 5, 6),
    ]


@pytest.mark.parametrize(
    ("tokens", "rest"),
    [
        ((T0, 1, T0 + 250), None),  # heard to its end
        ((T0, 1, T0 + 250, T0 + 250), 5.0),  # something begins at 5 s
        ((T0, 1, T0 + 250, T0 + 250, 2), 5.0),  # and was not finished
        ((T0, 1, T0 + 250, T0 + 260, 2, T0 + 400), None),
        ((T0, 1, T0 + 20, T0 + 20), None),  # too little was heard
        ((T0, 1, T0 + 970, T0 + 970), None),  # too little is left
        ((T0, 1), None),
        ((), None),
    ],
)
def test_an_unfinished_sentence_is_heard_again(tokens: tuple[int, ...], rest: float) -> None:
    assert find_rest(hypothesis(*tokens), VOCABULARY, 20.0) == rest


def test_words_keep_punctuation_and_tokens_of_split_characters() -> None:
    parts = [" Hel", "lo", ",", " wor", "ld", "!", ' "', "Ya", '"']
    words = split_words(range(len(parts)), lambda some: "".join(parts[at] for at in some), "en")
    assert [word.text for word in words] == [" Hello,", " world!", ' "Ya"']
    halves = "é".encode()
    decoded = split_words(list(halves), lambda some: bytes(some).decode("utf-8", "replace"), "ja")
    assert [(word.text, word.first, word.last) for word in decoded] == [("é", 0, 2)]


def test_warping_finds_the_cheapest_path() -> None:
    costs = np.ones((3, 9))
    costs[0, :2] = costs[1, 2:7] = costs[2, 7:] = -1
    assert warp(costs).tolist() == [0, 2, 7]


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("Hello hello, hello.", "Hello"),
        ("one two three one two three one two three", "one two three"),
        (
            "Ever tried. Ever failed. Ever tried. Ever failed. No matter.",
            "Ever tried. Ever failed. No matter.",
        ),
        ("A glossary: Estragon, Vladimir.", "A glossary: Estragon, Vladimir."),
        ("- - -", "-"),
        ("", ""),
    ],
)
def test_a_prompt_keeps_each_phrase_once(text: str, once: str) -> None:
    assert without_repetitions(text) == once


def test_a_repetitive_prompt_is_not_used() -> None:
    assert usable_prompt("la " * 100) == ""
    assert usable_prompt("Samuel Beckett, Worstward Ho.") == "Samuel Beckett, Worstward Ho."


@pytest.mark.parametrize(
    ("text", "prompt", "cut"),
    [
        ("Fail again.", "Ever tried. No matter.", True),
        ("Fail again.", "No matter.", True),  # and what came before it
        ("Ever tried. No matter. Fail again.", "No matter.", False),
        ("Fail again.", "Waiting for Godot.", False),  # the prompt is not to blame
        ("Ever tried. No matter. Phail again.", "Phail again", False),  # its spelling counts
        ("Fail again.", "", False),
        ("Tried. No matter. Fail again.", "Ever", True),
    ],
)
def test_words_omitted_because_of_the_prompt_are_detected(
    text: str, prompt: str, cut: bool
) -> None:
    assert is_cut(text, "Ever tried. No matter. Fail again.", prompt) is cut


def test_an_echo_is_a_part_of_the_prompt_however_often() -> None:
    prompt = "Ever tried. Ever failed. No matter."
    assert is_echo("Ever failed. Ever failed. Ever failed.", prompt)
    assert is_echo("no matter", prompt)
    assert not is_echo("Ever", prompt)  # one word may be said by chance
    assert not is_echo("Try again.", prompt)
    assert not is_echo("failed Ever", prompt)


def test_a_piece_is_halved_where_it_is_quiet() -> None:
    clip = np.ones(10 * RATE, np.float32)
    clip[int(5.5 * RATE) : int(6 * RATE)] = 0
    first, second = halve(clip, AudioPiece(RATE, 9 * RATE), RATE)
    assert (first.start, second.end) == (RATE, 9 * RATE)
    assert first.end == second.start
    assert 5.5 * RATE <= first.end <= 6 * RATE


def test_repetition_compresses_well() -> None:
    assert compression_ratio("and then " * 40) > 2.4 > compression_ratio("It was a dark night.")
    assert compression_ratio("") == 0


def test_confidence_is_weighed_by_length() -> None:
    long, short = Segment(0, 3, "a", 0.9, 0.1), Segment(3, 4, "b", 0.5, 0.1)
    assert mean_confidence([long, short]) == pytest.approx(0.8)
    assert mean_confidence([]) is None
    assert mean_confidence([Segment(1, 1, "a", 0.4, 0.1)]) == pytest.approx(0.4)
