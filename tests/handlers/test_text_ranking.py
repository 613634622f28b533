"""Documents ranked by a query: scores are those of sentence-transformers' CrossEncoder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from handler_kit.errors import LoadError
from handler_kit.text_input import sample_texts
from tests.checkpoints.text import build_ranker
from tests.checkpoints.text_tokenizers import LONGEST
from tests.handlers.loaded import Loaded
from tests.handlers.texts import EQUAL, errors, load, passes, same

QUERY = "a lazy dog"
DOCUMENTS = [*sample_texts(8), "", "jumps"]
IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranking") / "ranker"
    build_ranker(path)
    return path


@pytest.fixture(scope="session")
def ranker(folder: Path) -> Loaded:
    return load(folder, "text_ranking", config={"max_batch_size": 16})


def asked(documents: list[str], **more: Any) -> list[dict[str, Any]]:
    return [{"text": QUERY, "parameters": {"document": each, **more}} for each in documents]


def cross_encoded(folder: Path, pairs: list[tuple[str, str]]) -> list[float]:
    """Return one logit for each pair, as CrossEncoder.predict does before its activation."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder)
    features = tokenizer(
        pairs, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
    )
    with torch.inference_mode():
        logits: list[float] = model.eval()(**features).logits[:, 0].tolist()
    return logits


def scores_of(results: list[Any]) -> list[float]:
    return [result["score"] for result in results]


def test_scores_equal_the_cross_encoders_even_for_long_documents(
    ranker: Loaded, folder: Path
) -> None:
    logits = cross_encoded(folder, [(QUERY, document) for document in DOCUMENTS])
    results = ranker.results(*asked(DOCUMENTS))
    assert scores_of(results) == pytest.approx(torch.tensor(logits).sigmoid().tolist(), abs=EQUAL)
    assert len(set(scores_of(results))) == len(DOCUMENTS)
    assert max(result["tokens"] for result in results) == LONGEST


def test_a_query_that_is_too_long_is_cut_as_the_cross_encoder_cuts_it(
    ranker: Loaded, folder: Path
) -> None:
    query = "coffee near quiet rivers " * 30
    (logit,) = cross_encoded(folder, [(query, QUERY)])
    (result,) = ranker.results({"text": query, "parameters": {"document": QUERY}})
    assert result["score"] == pytest.approx(torch.tensor(logit).sigmoid().item(), abs=EQUAL)


@pytest.mark.parametrize(
    ("saved", "options"),
    [
        ({"sbert_ce_default_activation_function": IDENTITY}, {}),
        ({"sentence_transformers": {"activation_fn": IDENTITY}}, {}),
        ({}, {"activation": "identity"}),
    ],
)
def test_a_ranking_checkpoint_without_an_activation_answers_logits(
    tmp_path: Path, saved: dict[str, Any], options: dict[str, Any]
) -> None:
    build_ranker(tmp_path, **saved)
    loaded = load(tmp_path, "text_ranking", **options)
    expected = cross_encoded(tmp_path, [(QUERY, document) for document in DOCUMENTS[:3]])
    assert scores_of(loaded.results(*asked(DOCUMENTS[:3]))) == pytest.approx(expected, abs=EQUAL)
    assert loaded.describe()["activation"] == "identity"


def test_an_activation_that_is_not_known_is_a_load_error(tmp_path: Path) -> None:
    build_ranker(
        tmp_path, sentence_transformers={"activation_fn": "torch.nn.modules.activation.Tanh"}
    )
    with pytest.raises(LoadError, match=r"the activation torch.nn.modules.activation.Tanh"):
        load(tmp_path, "text_ranking")


def test_a_document_is_cut_to_the_requested_tokens(ranker: Loaded) -> None:
    document = "the quick brown fox jumps over a lazy dog"
    cut, short, whole = ranker.results(
        *asked([document], max_document_tokens=3),
        *asked(["the quick brown"]),
        *asked([document], max_document_tokens=1000),
    )
    assert same(cut, short)
    assert same(whole, ranker.results(*asked([document]))[0])
    assert cut["tokens"] == 3 + 3 + 3  # query, document, and the marks around both


def test_documents_of_like_lengths_share_a_pass(ranker: Loaded) -> None:
    assert passes(ranker, *asked(["a lazy dog"] * 6)) == [6] * 6


def test_an_input_that_cannot_be_ranked_is_refused_alone(folder: Path) -> None:
    loaded = load(folder, "text_ranking", max_characters=20)
    empty, none, long = errors(
        loaded,
        {"text": " ", "parameters": {"document": "x"}},
        *asked(["x"]),
        *asked(["x" * 21]),
    )
    assert empty == "The text is empty"
    assert none is None
    assert long == "The text has 21 characters; at most 20 are allowed"
