"""Generated texts equal those of transformers, whatever shares the pass."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from tests.checkpoints.text import PREFIX
from tests.checkpoints.text_tokenizers import LONGEST
from tests.handlers.loaded import Loaded
from tests.handlers.texts import (
    TEXTS,
    Folders,
    errors,
    folders,
    load,
    passes,
    theirs,
    with_parameters,
)

WRITERS = {
    "gpt2": "text_generation",
    "bart": "summarization",
    "t5": "text2text_generation",
}
SAMPLED = {"do_sample": True, "temperature": 1.5, "top_p": 0.9, "top_k": 40, "seed": 7}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return folders(tmp_path_factory.mktemp("writing"))


@pytest.fixture(scope="session")
def writers(folder: Folders) -> dict[str, Loaded]:
    return {name: load(folder(name), task, default_new_tokens=16) for name, task in WRITERS.items()}


def written(loaded: Loaded, inputs: Sequence[Any]) -> list[str]:
    results = loaded.results(*inputs)
    assert {tuple(result) for result in results} == {("generated_text",)}
    return [result["generated_text"] for result in results]


def rewritten(folder: Any, text: str, **how: Any) -> str:
    """What transformers' own `generate` makes of one text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    ids = model.generate(**tokenizer(text, return_tensors="pt", return_token_type_ids=False), **how)
    return str(tokenizer.decode(ids[0], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("return_full_text", [True, False])
def test_a_text_goes_on_as_in_the_pipeline(
    writers: dict[str, Loaded], folder: Folders, return_full_text: bool
) -> None:
    pipeline = theirs("text-generation", folder("gpt2"))
    how = {"max_new_tokens": 20, "return_full_text": return_full_text}
    expected = [pipeline(text, do_sample=False, **how)[0]["generated_text"] for text in TEXTS]
    ours = written(writers["gpt2"], with_parameters(TEXTS, **how))
    assert ours == expected
    assert all(text.startswith(given) for text, given in zip(ours, TEXTS, strict=True)) is (
        return_full_text
    )


def test_the_space_behind_the_given_text_is_kept(folder: Folders) -> None:
    """SentencePiece's tokens have it before a word, and lose it where a text begins."""
    loaded = load(folder("llama"), "text_generation")
    tokenizer = AutoTokenizer.from_pretrained(folder("llama"))
    model: Any = AutoModelForCausalLM.from_pretrained(folder("llama"))
    known = [TEXTS[0], *TEXTS[2:]]  # an unknown token is not text
    expected = []
    for text in known:
        ids = tokenizer(text, return_tensors="pt", return_token_type_ids=False)["input_ids"]
        whole = model.generate(ids, max_new_tokens=8, do_sample=False)[0]
        expected.append(str(tokenizer.decode(whole, skip_special_tokens=True)))
    assert written(loaded, with_parameters(known, max_new_tokens=8)) == expected
    alone = written(loaded, with_parameters(known, max_new_tokens=8, return_full_text=False))
    assert [text + more for text, more in zip(known, alone, strict=True)] == expected
    assert any(text.startswith(" ") for text in alone)


def test_the_given_text_stands_before_the_new_one_by_default(writers: dict[str, Loaded]) -> None:
    assert written(writers["gpt2"], TEXTS[:1])[0].startswith(TEXTS[0])


def test_bart_writes_as_its_checkpoint_asks(writers: dict[str, Loaded], folder: Folders) -> None:
    expected = [rewritten(folder("bart"), text) for text in TEXTS]
    assert written(writers["bart"], TEXTS) == expected
    assert len(set(expected)) == len(TEXTS)


@pytest.mark.parametrize(
    "how",
    [
        {"max_new_tokens": 12, "min_new_tokens": 9},
        {"num_beams": 3, "max_new_tokens": 10},
        {"num_beams": 1, "repetition_penalty": 1.7, "max_new_tokens": 20},
    ],
)
def test_parameters_mean_what_they_mean_to_transformers(
    writers: dict[str, Loaded], folder: Folders, how: dict[str, Any]
) -> None:
    pipeline = theirs("text-generation", folder("gpt2"))
    going_on = [pipeline(text, do_sample=False, **how)[0]["generated_text"] for text in TEXTS]
    assert written(writers["gpt2"], with_parameters(TEXTS, **how)) == going_on
    expected = [rewritten(folder("t5"), text, **how) for text in TEXTS]
    assert written(writers["t5"], with_parameters(TEXTS, **how)) == expected


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "how", [{}, {"num_beams": 3}, {"repetition_penalty": 1.5}, {"min_new_tokens": 12}]
)
def test_a_text_is_written_alike_alone_and_in_a_batch(
    writers: dict[str, Loaded], name: str, how: dict[str, Any]
) -> None:
    inputs = with_parameters(TEXTS, max_new_tokens=16, **how)
    alone = [written(writers[name], [one])[0] for one in inputs]
    assert written(writers[name], inputs) == alone


def test_texts_of_a_batch_end_independently(
    writers: dict[str, Loaded],
) -> None:
    inputs = with_parameters(TEXTS, max_new_tokens=40, return_full_text=False)
    texts = written(writers["gpt2"], inputs)
    assert len({len(text) for text in texts}) == len(TEXTS)
    assert not any("endoftext" in text for text in texts)


@pytest.mark.parametrize("name", WRITERS)
def test_a_sampled_text_depends_only_on_its_seed(writers: dict[str, Loaded], name: str) -> None:
    drawn, other = (
        with_parameters(TEXTS[:1], max_new_tokens=16, **(SAMPLED | {"seed": seed}))[0]
        for seed in (7, 8)
    )
    state = torch.random.get_rng_state()
    alone, again = (written(writers[name], [drawn])[0] for _ in range(2))
    crowd = written(writers[name], [other, TEXTS[1], drawn, other])
    assert alone == again == crowd[2]
    assert crowd[0] == crowd[3] != alone
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sampling_equals_that_of_transformers(writers: dict[str, Loaded], folder: Folders) -> None:
    pipeline = theirs("text-generation", folder("gpt2"))
    how = {"max_new_tokens": 16, **SAMPLED}
    del how["seed"]
    torch.manual_seed(7)
    expected = pipeline(TEXTS[2], **how)[0]["generated_text"]
    assert written(writers["gpt2"], with_parameters(TEXTS[2:3], seed=7, **how)) == [expected]


def test_only_texts_with_equal_parameters_share_a_pass(writers: dict[str, Loaded]) -> None:
    greedy, beams, drawn = (
        with_parameters(TEXTS[:1], max_new_tokens=4, **how)[0]
        for how in ({}, {"num_beams": 2}, SAMPLED)
    )
    given = [greedy, beams, greedy, drawn, beams, drawn, greedy]
    assert passes(writers["gpt2"], *given) == [3, 2, 3, 1, 2, 1, 3]


def test_padding_does_not_count_for_the_repetition_penalty(
    writers: dict[str, Loaded],
) -> None:
    """GPT-2 is filled up with what ends a text: liked as if said, it would end texts at once."""
    how = {"max_new_tokens": 40, "repetition_penalty": 0.3, "return_full_text": False}
    given = with_parameters(TEXTS, **how)
    assert passes(writers["gpt2"], *given) == [len(given)] * len(given)
    alone = [written(writers["gpt2"], [one])[0] for one in given]
    assert written(writers["gpt2"], given) == alone


def test_a_pass_has_room_for_what_will_be_written(folder: Folders) -> None:
    loaded = load(folder("t5"), "text2text_generation", max_pass_tokens=100)
    few, many = (with_parameters(["the fox"] * 4, max_new_tokens=most) for most in (8, 40))
    assert passes(loaded, *few) == [4] * 4
    assert passes(loaded, *many) == [2] * 4


def test_a_summary_begins_with_what_the_checkpoint_wants_to_read(
    writers: dict[str, Loaded], folder: Folders
) -> None:
    summaries = written(load(folder("t5"), "summarization", default_new_tokens=16), TEXTS)
    assert summaries == written(writers["t5"], [PREFIX + text for text in TEXTS])
    assert summaries != written(writers["t5"], TEXTS)
    ours = load(folder("t5"), "summarization", default_new_tokens=16, prefix="")
    assert written(ours, TEXTS) == written(writers["t5"], TEXTS)


def test_default_lengths_fit_the_room_that_is_left(folder: Folders) -> None:
    loaded = load(folder("gpt2"), "text_generation")
    long = "the quick brown fox " * 9
    assert len(written(loaded, [long])[0]) >= len(long)
    (refusal,) = errors(loaded, *with_parameters([long], max_new_tokens=LONGEST))
    assert refusal is not None
    assert refusal.startswith("max_new_tokens: must be at most ")


def test_a_text_that_leaves_no_room_is_refused(writers: dict[str, Loaded]) -> None:
    full, too_long = "1" * LONGEST, "1" * (LONGEST + 1)
    assert errors(writers["gpt2"], full, too_long, " ", TEXTS[0]) == [
        (
            f"The text has {LONGEST} tokens and leaves no room to write: "
            f"the model takes {LONGEST} in all"
        ),
        f"The text has {LONGEST + 1} tokens; at most {LONGEST} are allowed",
        "The text is empty",
        None,
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "named"),
    [
        ("gpt2", {"max_new_tokens": 0}, "max_new_tokens"),
        ("gpt2", {"max_new_tokens": 9999}, "max_new_tokens"),
        ("gpt2", {"max_new_tokens": True}, "max_new_tokens"),
        ("gpt2", {"max_new_tokens": 4, "min_new_tokens": 5}, "min_new_tokens"),
        ("gpt2", {"temperature": 0.7}, "temperature"),
        ("gpt2", {"do_sample": True, "temperature": 0}, "temperature"),
        ("gpt2", {"do_sample": True, "top_p": 1.5}, "top_p"),
        ("gpt2", {"do_sample": True, "top_k": -1}, "top_k"),
        ("gpt2", {"do_sample": "yes"}, "do_sample"),
        ("gpt2", {"repetition_penalty": 0}, "repetition_penalty"),
        ("gpt2", {"num_beams": 17}, "num_beams"),
        ("gpt2", {"seed": -1}, "seed"),
        ("gpt2", {"max_length": 20}, "max_length"),
        ("bart", {"return_full_text": True}, "return_full_text"),
        ("bart", {"max_new_tokens": LONGEST}, "max_new_tokens"),
    ],
)
def test_a_wrong_parameter_is_named_and_harms_its_own_text_only(
    writers: dict[str, Loaded], name: str, parameters: dict[str, Any], named: str
) -> None:
    bad = {"text": TEXTS[0], "parameters": parameters}
    refusal, none = errors(writers[name], bad, TEXTS[0])
    assert none is None
    assert refusal is not None
    assert named in refusal


def test_too_much_work_for_one_job_is_refused(folder: Folders) -> None:
    """A job beyond its limit would cost the worker, and others their answers."""
    small = load(folder("gpt2"), "text_generation", max_beam_tokens=30)
    heavy = {"text": TEXTS[0], "parameters": {"num_beams": 4, "max_new_tokens": 8}}
    light = {"text": TEXTS[0], "parameters": {"num_beams": 3, "max_new_tokens": 8}}
    refusal, none = errors(small, heavy, light)
    assert none is None
    assert refusal == "num_beams: 4 beams of 8 new tokens each exceed the limit of 30 tokens"
    slow = load(folder("gpt2"), "text_generation", max_seconds=1e-6)
    (refusal,) = errors(slow, {"text": TEXTS[0], "parameters": {"min_new_tokens": 8}})
    assert refusal == "Writing took longer than 1e-06 s; request fewer new tokens or beams"
