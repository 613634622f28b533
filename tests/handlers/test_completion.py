"""Completions: as transformers writes them, in turns, token by token, whoever shares the pass."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.checkpoints.text_tokenizers import LONGEST
from tests.handlers.completing import Completing
from tests.handlers.texts import TEXTS, Folders, folders

GREEDY = {"temperature": 0.0}
DRAWN = {"temperature": 1.3, "top_p": 0.9, "seed": 11}
CHAT = [
    {"role": "system", "content": "a lazy dog"},
    {"role": "user", "content": "the quick brown fox"},
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return folders(tmp_path_factory.mktemp("completing"))


@pytest.fixture(scope="session")
def chat(folder: Folders) -> Completing:
    return Completing(folder("chat"))


@pytest.fixture(scope="session")
def hurried(folder: Folders) -> Completing:
    """Turns end as soon as they may: they have to last as long as it took to read the text."""
    return Completing(folder("chat"), turn_seconds=1e-9)


def continued(folder: Path, text: str, tokens: int) -> tuple[list[int], str]:
    """What transformers' own `generate` writes behind *text*."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt", return_token_type_ids=False)["input_ids"]
    whole = model.generate(ids, max_new_tokens=tokens, do_sample=False)[0]
    before = str(tokenizer.decode(ids[0], skip_special_tokens=True))
    text = str(tokenizer.decode(whole, skip_special_tokens=True))[len(before) :]
    return whole[ids.shape[1] :].tolist(), text


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_text_goes_on_as_transformers_writes_it(folder: Folders, name: str) -> None:
    completing = Completing(folder(name))
    known = [TEXTS[0], *TEXTS[2:]]
    orders = [{"prompt": text, "max_tokens": 12} | GREEDY for text in known]
    for text, answer in zip(known, completing.written(*orders), strict=True):
        tokens, written = continued(folder(name), text, 12)
        assert answer["tokens"] == tokens
        assert answer["text"] == written
        assert answer["finish_reason"] == ("length" if len(tokens) == 12 else "stop")


def test_each_token_leaves_as_soon_as_it_is_written(folder: Folders) -> None:
    turn = Completing(folder("llama")).turn(({"prompt": TEXTS[0], "max_tokens": 9} | GREEDY, {}))
    special = 3  # the vocabulary begins with tokens that are no text
    assert len(turn.frames) == sum(token >= special for token in turn.answers[0]["tokens"]) > 5
    text = ""
    for ((item, at, part, _),) in turn.frames:
        assert (item, at) == ("0", len(text))
        text += part
    assert text == turn.answers[0]["text"]
    assert [whole for ((_, _, _, whole),) in turn.frames] == [
        *[None] * (len(turn.frames) - 1),
        turn.answers[0],
    ]


def test_an_incomplete_character_is_held_back(chat: Completing) -> None:
    """Of a vocabulary of bytes some tokens are no text alone."""
    turn = chat.turn(({"prompt": TEXTS[0], "max_tokens": 9} | GREEDY, {}))
    assert 1 < len(turn.frames) < len(turn.answers[0]["tokens"])
    assert "".join(part for ((_, _, part, _),) in turn.frames) == turn.answers[0]["text"]


def test_a_turn_ends_after_its_time_and_the_next_one_continues(
    chat: Completing, hurried: Completing
) -> None:
    orders = [{"prompt": text, "max_tokens": 20} | how for text in TEXTS for how in (GREEDY, DRAWN)]
    at_once, in_turns = chat.written(*orders), hurried.written(*orders)
    assert max(each.pop("turns") for each in in_turns) > max(each.pop("turns") for each in at_once)
    assert in_turns == at_once


def test_samples_depend_only_on_seed_and_choice(chat: Completing) -> None:
    order = {"prompt": TEXTS[0], "max_tokens": 12} | DRAWN
    alone = chat.written(order)[0]["text"]
    others = [{"prompt": text, "max_tokens": 8} | GREEDY for text in TEXTS[1:]]
    assert chat.written(*others, order)[-1]["text"] == alone
    texts = [each["text"] for each in chat.written(*[order] * 4, choices=range(4))]
    assert texts[0] == alone
    assert len(set(texts)) > 1
    assert chat.written(order | {"seed": 12})[0]["text"] != alone


def test_tokens_are_drawn_as_often_as_they_are_probable(folder: Folders, chat: Completing) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder("chat"))
    model: Any = AutoModelForCausalLM.from_pretrained(folder("chat"))
    ids = tokenizer(TEXTS[0], return_tensors="pt", return_token_type_ids=False)["input_ids"]
    with torch.inference_mode():
        probabilities = (model(ids).logits[0, -1] / 2).softmax(0)
    order = {"prompt": TEXTS[0], "max_tokens": 1, "temperature": 2.0, "top_p": 1.0, "seed": 3}
    count = 400
    drawn = [each["tokens"][0] for each in chat.written(*[order] * count, choices=range(count))]
    likeliest = int(probabilities.argmax())
    expected = float(probabilities[likeliest])
    assert 0.02 < expected < 0.9
    deviation = (expected * (1 - expected) / count) ** 0.5
    assert drawn.count(likeliest) / count == pytest.approx(expected, abs=4 * deviation)


def test_a_small_top_p_leaves_the_most_probable_token(chat: Completing) -> None:
    order = {"prompt": TEXTS[0], "max_tokens": 10}
    drawn = order | {"temperature": 2.0, "top_p": 1e-6, "seed": 5}
    assert chat.written(drawn)[0]["text"] == chat.written(order | GREEDY)[0]["text"]


def test_penalties_keep_tokens_from_being_repeated(chat: Completing) -> None:
    order = {"prompt": TEXTS[0], "max_tokens": 24} | GREEDY
    for name in ("presence_penalty", "frequency_penalty"):
        tokens = chat.written(order | {name: 2.0, "prompt": TEXTS[0]})[0]["tokens"]
        huge = chat.written(order | {name: 1e6})[0]["tokens"]
        assert len(set(huge)) == len(huge)
        assert len(set(tokens)) >= len(set(chat.written(order)[0]["tokens"]))


def test_a_text_ends_before_a_stop_string_wherever_its_tokens_are_cut(chat: Completing) -> None:
    order = {"prompt": TEXTS[0], "max_tokens": 20} | GREEDY
    whole = chat.written(order)[0]["text"]
    for start in range(2, len(whole) - 3, 3):
        stop = whole[start : start + 3]
        expected = whole[: whole.index(stop)]
        turn = chat.turn((order | {"stop": ["never written", stop]}, {}))
        assert turn.answers[0]["text"] == expected
        assert turn.answers[0]["finish_reason"] == "stop"
        assert "".join(part for ((_, _, part, _),) in turn.frames) == expected


def test_a_prompt_may_be_tokens(folder: Folders, chat: Completing) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder("chat"))
    order = {"prompt": TEXTS[0], "max_tokens": 8} | GREEDY
    tokens = tokenizer(TEXTS[0])["input_ids"]
    assert chat.written(order | {"prompt": tokens}) == chat.written(order)
    assert chat.written(order)[0]["prompt_tokens"] == len(tokens)


def test_a_chat_uses_the_template_of_the_checkpoint(chat: Completing) -> None:
    prompt = "system: a lazy dog\nuser: the quick brown fox\nassistant:"
    how = {"max_tokens": 8} | GREEDY
    assert chat.written({"messages": CHAT} | how) == chat.written({"prompt": prompt} | how)
    assert chat.loaded.describe()["chat"] is True


def test_completions_and_predictions_share_a_job(chat: Completing) -> None:
    (answer,) = chat.loaded.results(TEXTS[0])
    assert answer["generated_text"].startswith(TEXTS[0])


def test_as_many_tokens_are_written_as_fit_where_none_are_asked(chat: Completing) -> None:
    long = {"prompt": "jumps", "temperature": 0.0, "frequency_penalty": 50.0}
    (answer,) = chat.written(long)
    assert answer["prompt_tokens"] + len(answer["tokens"]) <= LONGEST
    (short,) = chat.written(long | {"cap": 3})
    assert len(short["tokens"]) <= 3


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": TEXTS[0], "max_tokens": 2000}, "max_tokens: must be at most 1024, not 2000"),
    ({"prompt": "jumps", "max_tokens": 64}, "max_tokens: must be at most "),
    ({"prompt": ""}, "prompt: The text contains nothing that the model can read"),
    ({"prompt": []}, "prompt: The text contains nothing that the model can read"),
    ({"prompt": [1, 100_000]}, "prompt: Tokens must be at most "),
    ({"prompt": [1] * 65}, "prompt: The text has 65 tokens; at most 64 are allowed"),
    (
        {"prompt": [1] * 64},
        "prompt: 64 tokens leave no room to write: the model's limit is 64 in total",
    ),
    ({"prompt": "x" * 100_001}, "prompt: The text has 100001 characters"),
    (
        {"messages": [{"role": "tool", "content": "x"}]},
        "messages: The model's chat template refuses these messages: no tools",
    ),
    ({"prompt": "x", "temperature": -1}, "The completion cannot be read: "),
]


def test_an_invalid_completion_is_refused_alone_and_names_the_field(chat: Completing) -> None:
    good = {"prompt": TEXTS[0], "max_tokens": 4} | GREEDY
    nothing: dict[str, Any] = {}
    given = [each for order, _ in REFUSED for each in ((order, nothing), (good, nothing))]
    turn = chat.turn(*given)
    for (_, rule), error in zip(REFUSED, turn.errors[::2], strict=True):
        assert error is not None
        assert error.startswith(rule)
    assert turn.errors[1::2] == [None] * len(REFUSED)


def test_a_model_without_a_template_cannot_chat(folder: Folders) -> None:
    completing = Completing(folder("gpt2"))
    turn = completing.turn(({"messages": CHAT}, {}))
    assert turn.errors == ["messages: This model has no chat template; it can only continue texts"]
    assert completing.loaded.describe()["chat"] is False
