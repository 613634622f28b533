"""Texts to labels, entities and fillings: as transformers' own pipelines have them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from handler_kit.errors import LoadError
from handler_kit.text_batching import PassSize, cut
from handler_kit.text_input import sample_texts
from tests.checkpoints.text import MOODS
from tests.checkpoints.text_tokenizers import LONGEST, write_byte_pairs, write_word_pieces
from tests.handlers.loaded import Loaded
from tests.handlers.texts import (
    TEXTS,
    Folders,
    errors,
    folders,
    load,
    passes,
    same,
    theirs,
    with_parameters,
)

BLANKS = [f"{text} [MASK]" for text in TEXTS]
LABELS = ["dog", "strong coffee", "fox"]
READERS: dict[str, tuple[str, list[Any]]] = {
    "text_classification": ("classifier", TEXTS),
    "token_classification": ("tagger", TEXTS),
    "fill_mask": ("masked", BLANKS),
    "zero_shot_classification": (
        "entailment",
        with_parameters(TEXTS, candidate_labels=LABELS),
    ),
    "text_ranking": ("ranker", with_parameters(TEXTS, document="a lazy dog")),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return folders(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def readers(folder: Folders) -> dict[str, Loaded]:
    return {task: load(folder(name), task) for task, (name, _) in READERS.items()}


@pytest.mark.parametrize("name", ["classifier", "many", "number", "one"])
def test_labels_and_scores_are_the_pipelines(folder: Folders, name: str) -> None:
    pipeline = theirs("text-classification", folder(name))
    expected = [one[:5] for one in pipeline(TEXTS, top_k=None)]
    assert same(load(folder(name), "text_classification").results(*TEXTS), expected)


def test_five_labels_are_answered_or_as_many_as_are_wanted(readers: dict[str, Loaded]) -> None:
    asked = [TEXTS[0], *[with_parameters(TEXTS[:1], top_k=count)[0] for count in (1, 100)]]
    five, one, all_of_them = readers["text_classification"].results(*asked)
    assert [len(five), len(one), len(all_of_them)] == [5, 1, len(MOODS)]
    assert five == all_of_them[:5]
    assert [label["score"] for label in five] == sorted(
        (label["score"] for label in five), reverse=True
    )


@pytest.mark.parametrize("aggregation", ["none", "simple"])
def test_entities_are_the_pipelines(
    readers: dict[str, Loaded], folder: Folders, aggregation: str
) -> None:
    pipeline = theirs("token-classification", folder("tagger"), aggregation_strategy=aggregation)
    key = "entity" if aggregation == "none" else "entity_group"
    expected = [
        [
            {
                "entity": one[key],
                "score": float(one["score"]),
                **{name: one[name] for name in ("word", "start", "end")},
            }
            for one in entities
        ]
        for entities in pipeline(TEXTS)
    ]
    ours = readers["token_classification"].results(*with_parameters(TEXTS, aggregation=aggregation))
    assert same(ours, expected)
    assert sum(map(len, ours)) > len(TEXTS)


def test_start_and_end_count_characters_of_the_text(readers: dict[str, Loaded]) -> None:
    text = "Zoë 🙂 brews COFFEE"
    (entities,) = readers["token_classification"].results(text)
    found = [(text[one["start"] : one["end"]], one["word"]) for one in entities]
    assert ("COFFEE", "coffee") in found
    assert ("🙂", "🙂") in found  # a token that the tokenizer does not know


def test_fillings_are_the_pipelines(readers: dict[str, Loaded], folder: Folders) -> None:
    expected = [
        [
            {"token": one["token_str"], "score": one["score"], "sequence": one["sequence"]}
            for one in fillings
        ]
        for fillings in theirs("fill-mask", folder("masked"))(BLANKS)
    ]
    assert same(readers["fill_mask"].results(*BLANKS), expected)


@pytest.mark.parametrize(
    "how",
    [
        {"candidate_labels": LABELS},
        {"candidate_labels": LABELS, "multi_label": True},
        {"candidate_labels": LABELS[:1]},
        {"candidate_labels": LABELS, "hypothesis_template": "the {} jumps"},
    ],
)
def test_labels_of_the_clients_get_the_pipelines_scores(
    readers: dict[str, Loaded], folder: Folders, how: dict[str, Any]
) -> None:
    expected = [
        [
            {"label": label, "score": score}
            for label, score in zip(one["labels"], one["scores"], strict=True)
        ]
        for one in theirs("zero-shot-classification", folder("entailment"))(TEXTS, **how)
    ]
    ours = readers["zero_shot_classification"].results(*with_parameters(TEXTS, **how))
    assert same(ours, expected)


def test_a_hypothesis_template_cannot_access_internals(readers: dict[str, Loaded]) -> None:
    how = {"candidate_labels": LABELS, "hypothesis_template": "{0.__class__} {} {:9}"}
    assert errors(readers["zero_shot_classification"], *with_parameters(TEXTS[:1], **how)) == [None]


@pytest.mark.parametrize("task", READERS)
def test_a_text_is_answered_alike_alone_and_in_a_batch(
    readers: dict[str, Loaded], task: str
) -> None:
    inputs = READERS[task][1]
    alone = [readers[task].results(one)[0] for one in inputs]
    assert same(readers[task].results(*inputs), alone)


@pytest.mark.parametrize("task", READERS)
def test_a_text_is_answered_alike_in_many_small_passes(folder: Folders, task: str) -> None:
    name, inputs = READERS[task]
    small = load(folder(name), task, max_pass_tokens=LONGEST)
    assert max(passes(small, *inputs)) < len(inputs)
    assert same(small.results(*inputs), load(folder(name), task).results(*inputs))


def test_texts_of_a_job_share_a_pass_with_those_of_like_length(
    readers: dict[str, Loaded],
) -> None:
    short, long = "the fox", "the quick brown fox " * 14
    loaded = readers["text_classification"]
    assert passes(loaded, short, long, short, long, short) == [3, 2, 3, 2, 3]


def test_the_rows_of_one_input_count_for_its_pass() -> None:
    sizes = [PassSize(10, rows=3), PassSize(10), PassSize(10, rows=2), PassSize(10, rows=9)]
    assert cut(sizes, 40, padded=True) == [[0, 1], [2], [3]]


def test_gpt2_can_classify_in_batches_though_it_has_no_pad_token(tmp_path: Path) -> None:
    end = "<|endoftext|>"
    size = write_byte_pairs(tmp_path, bos_token=end, eos_token=end, unk_token=end)
    config = GPT2Config(
        vocab_size=size,
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=LONGEST,
        id2label={0: "a", 1: "b"},
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    loaded = load(tmp_path, "text_classification")
    assert same(loaded.results(*TEXTS), [loaded.results(text)[0] for text in TEXTS])


def test_a_network_counting_after_its_pad_token_has_fewer_positions(tmp_path: Path) -> None:
    size = write_word_pieces(tmp_path)
    config = RobertaConfig(
        vocab_size=size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=LONGEST,
        pad_token_id=0,
    )
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    loaded = load(tmp_path, "text_classification")
    fits, too_long = "fox " * (LONGEST - 3), "fox " * (LONGEST - 2)
    refusal = f"The text has {LONGEST} tokens; at most {LONGEST - 1} are allowed"
    assert errors(loaded, fits, too_long) == [None, refusal]


def test_unreadable_text_does_not_affect_others(readers: dict[str, Loaded]) -> None:
    loaded = readers["text_classification"]
    bad = [
        (" \n", "The text is empty"),
        ("fox " * 99, f"The text has 101 tokens; at most {LONGEST} are allowed"),
        ("a" * 100_001, "The text has 100001 characters"),
        (5, "must be text"),
        ({"text": 5}, "`text`|`.text`|Expected `str`"),
        ({"text": "fox", "more": 1}, "`more`"),
    ]
    given = [one for value, _ in bad for one in (value, TEXTS[0])]
    found = errors(loaded, *given)
    assert found[1::2] == [None] * len(bad)
    for refusal, (_, rule) in zip(found[::2], bad, strict=True):
        assert refusal is not None
        assert any(part in refusal for part in rule.split("|"))


@pytest.mark.parametrize(
    ("task", "parameters", "named"),
    [
        ("text_classification", {"top_k": 0}, "top_k"),
        ("text_classification", {"top_k": "5"}, "top_k"),
        ("text_classification", {"topk": 5}, "topk"),
        ("token_classification", {"aggregation": "max"}, "aggregation"),
        ("token_classification", {"top_k": 5}, "top_k"),
        ("fill_mask", {"targets": ["fox"]}, "targets"),
        ("zero_shot_classification", {}, "candidate_labels"),
        ("zero_shot_classification", {"candidate_labels": []}, "candidate_labels"),
        ("zero_shot_classification", {"candidate_labels": [""]}, "candidate_labels"),
        ("zero_shot_classification", {"candidate_labels": ["a" * 1001]}, "candidate_labels"),
        ("zero_shot_classification", {"candidate_labels": ["a"] * 101}, "candidate_labels"),
        (
            "zero_shot_classification",
            {"candidate_labels": LABELS, "hypothesis_template": "no"},
            "hypothesis_template",
        ),
        ("text_ranking", {}, "document"),
        ("text_ranking", {"document": "x", "max_document_tokens": 0}, "max_document_tokens"),
    ],
)
def test_a_wrong_parameter_is_named(
    readers: dict[str, Loaded], task: str, parameters: dict[str, Any], named: str
) -> None:
    text = BLANKS[0] if task == "fill_mask" else TEXTS[0]
    (refusal,) = errors(readers[task], {"text": text, "parameters": parameters})
    assert refusal is not None
    assert named in refusal


@pytest.mark.parametrize(("text", "times"), [("the fox", 0), ("[MASK] [MASK]", 2)])
def test_a_text_must_have_one_blank(readers: dict[str, Loaded], text: str, times: int) -> None:
    refusal = f"The text must contain [MASK] exactly once, not {times} times"
    assert errors(readers["fill_mask"], text) == [refusal]


@pytest.mark.parametrize(
    ("name", "task", "why"),
    [
        ("classifier", "fill_mask", "needs a BertForMaskedLM, but this checkpoint is a BertForSeq"),
        ("masked", "text_classification", "needs a BertForSequenceClassification"),
        ("tagger", "zero_shot_classification", "this checkpoint is a BertForTokenClassification"),
        ("classifier", "zero_shot_classification", "a label 'entailment', but this one has angry"),
        ("classifier", "text_ranking", "a network with one label, but this one has 6"),
        ("bart", "text_generation", "needs a BartForCausalLM"),
        ("gpt2", "summarization", "gpt2 networks do not support it"),
        ("t5", "fill_mask", "t5 networks do not support it"),
        ("gpt2", "translation", "handler_options of model: Invalid enum value 'translation'"),
    ],
)
def test_a_task_that_the_checkpoint_does_not_fit_is_a_load_error(
    folder: Folders, name: str, task: str, why: str
) -> None:
    with pytest.raises(LoadError, match=why):
        load(folder(name), task)


@pytest.mark.parametrize(
    ("name", "task"),
    [(name, task) for task, (name, _) in READERS.items()]
    + [("gpt2", "text_generation"), ("bart", "summarization")],
)
def test_a_lower_precision_is_compared_on_samples(folder: Folders, name: str, task: str) -> None:
    described = load(folder(name), task, config={"precision": "bf16"}).describe()
    assert described["precision_check"]["cosine"] > 0.5  # of the worst sample, random weights
    assert described["max_length"] == LONGEST
    assert described["options"]["task"] == task


@pytest.mark.parametrize("task", READERS)
def test_samples_are_as_many_and_as_long_as_fit(readers: dict[str, Loaded], task: str) -> None:
    handler = readers[task].handler
    samples = handler.samples(8)
    assert len(samples) == len(sample_texts(8))
    assert len({one.size.length for one in samples}) > 3
    outputs = handler.compared(handler.forward(samples))
    assert all(torch.isfinite(each).all() for each in outputs)
