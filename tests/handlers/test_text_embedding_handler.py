"""Texts to vectors: the same alone, packed, padded, and as transformers itself has them."""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

from handler_kit.errors import InvalidInput, LoadError
from handler_kit.packed_attention import CannotPack, PackedAttention, runs_of
from handler_kit.text_batching import PackedBatching, PaddedBatching, dealt
from handler_kit.text_encoder import BatchingChoice
from handler_kit.text_input import check_texts
from tests.checkpoints.sentences import EXPECTED, LAYOUTS, LIMIT, PROMPTED, WIDTH, build
from tests.checkpoints.sentences import TEXTS as SENTENCES
from tests.checkpoints.text_tokenizers import write_words
from tests.handlers.loaded import FakeContext, Loaded
from tests.needs import need_compiler
from text_embedding_handler import TextEmbeddingHandler

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
DISTIL_SIZES: dict[str, Any] = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 80,
    "initializer_range": 0.3,
}
TEXTS = [
    "the quick brown fox",
    "",
    "coffee",
    "a lazy dog near quiet rivers " * 9,
    "nothing known here",
    "seven wizards brew strong coffee " * 3,
    "the lazy brown dog",
]


def write_model(folder: Path, kind: Any, config: Any, sizes: dict[str, Any], limit: int) -> Path:
    torch.manual_seed(1)
    kind(config(vocab_size=write_words(folder, limit), **sizes)).save_pretrained(folder)
    return folder


def load(folder: Path, *, config: dict[str, Any] | None = None, **options: Any) -> Loaded:
    settings = {"options": options, "warmup_iterations": 1} | (config or {})
    return Loaded(TextEmbeddingHandler(), FakeContext(folder, settings))


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("bert"), BertModel, BertConfig, SIZES, 64)


@pytest.fixture(scope="session")
def bert(bert_folder: Path) -> Loaded:
    return load(bert_folder)


def reference(folder: Path, texts: Sequence[str]) -> torch.Tensor:
    """transformers' own padded batch in fp32, mean pooled and normalised."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(
        list(texts), padding=True, truncation=True, return_tensors="pt", return_token_type_ids=False
    )
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return normalize((states * mask).sum(1) / mask.sum(1))


def vectors(loaded: Loaded, texts: Sequence[str]) -> torch.Tensor:
    return torch.tensor(loaded.results(*texts))


def test_packed_texts_have_the_vectors_of_transformers_itself(
    bert: Loaded, bert_folder: Path
) -> None:
    assert bert.describe()["batching"] == "packed"
    expected = reference(bert_folder, TEXTS)
    assert cosine_similarity(vectors(bert, TEXTS), expected).min() > 0.99999
    assert (vectors(bert, TEXTS) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("batching", ["auto", "padded"])
def test_a_wake_reuses_the_batching_of_the_first_load(
    bert_folder: Path, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(bert_folder, max_characters=999, batching=batching)

    def choose(*_: Any, **__: Any) -> Any:
        raise AssertionError("tried again")

    monkeypatch.setattr(BatchingChoice, "choose", choose)
    again = load(bert_folder, max_characters=999, batching=batching)
    assert again.describe()["batching"] == first.describe()["batching"]
    assert vectors(again, TEXTS).equal(vectors(first, TEXTS))


def test_a_text_has_one_vector_alone_and_in_a_batch(bert: Loaded) -> None:
    together = vectors(bert, TEXTS)
    alone = torch.cat([vectors(bert, [text]) for text in TEXTS])
    assert cosine_similarity(together, alone).min() > 0.9999


def test_different_texts_have_different_vectors(bert: Loaded) -> None:
    together = vectors(bert, TEXTS)
    others = together @ together.T - torch.eye(len(TEXTS))
    assert others.max() < 0.9999


def test_all_texts_of_a_job_share_one_pass_until_it_is_full(
    bert: Loaded, bert_folder: Path
) -> None:
    bodies = [msgspec.json.encode(text) for text in TEXTS]
    shared = {item.forward_pass for item in bert.job(*bodies)[0].items}
    assert shared == {len(TEXTS)}
    small = load(bert_folder, max_pass_tokens=20)
    assert vectors(small, TEXTS).allclose(vectors(bert, TEXTS), atol=1e-5)
    assert small.job(*bodies)[0].items[3].forward_pass == 1


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_packed_and_padded_agree_in_every_pooling(bert_folder: Path, pooling: str) -> None:
    packed = load(bert_folder, pooling=pooling, normalize=False, batching="packed")
    padded = load(bert_folder, pooling=pooling, normalize=False, batching="padded")
    assert padded.describe()["batching"] == "padded"
    assert vectors(packed, TEXTS).allclose(vectors(padded, TEXTS), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "config", "sizes", "first_position"),
    [
        (RobertaModel, RobertaConfig, SIZES, 1),
        (DistilBertModel, DistilBertConfig, DISTIL_SIZES, 0),
    ],
)
def test_positions_start_where_the_model_starts_them(
    tmp_path: Path, kind: Any, config: Any, sizes: dict[str, Any], first_position: int
) -> None:
    folder = write_model(tmp_path, kind, config, sizes, 64)
    loaded = load(folder)
    handler = loaded.handler
    assert isinstance(handler, TextEmbeddingHandler)
    assert isinstance(handler.batching, PackedBatching)
    assert handler.batching.first_position == first_position
    assert cosine_similarity(vectors(loaded, TEXTS), reference(folder, TEXTS)).min() > 0.99999


@pytest.fixture(scope="session")
def mpnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mpnet")
    return write_model(folder, MPNetModel, MPNetConfig, SIZES, 64)


def test_a_model_with_relative_positions_is_padded_and_right(mpnet_folder: Path) -> None:
    loaded = load(mpnet_folder)
    assert loaded.describe()["batching"] == "padded"
    assert cosine_similarity(vectors(loaded, TEXTS), reference(mpnet_folder, TEXTS)).min() > 0.99999


def test_packing_asked_of_a_model_that_cannot_is_a_load_error(mpnet_folder: Path) -> None:
    with pytest.raises(LoadError, match="packed does not work"):
        load(mpnet_folder, batching="packed")


@torch.inference_mode()
def test_on_a_gpu_the_faster_batching_is_taken(
    bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModel.from_pretrained(bert_folder).eval()
    samples = AutoTokenizer.from_pretrained(bert_folder)(check_texts(), max_length=64)["input_ids"]
    choice = BatchingChoice(model, 0, torch.device("cpu"))
    for packed_seconds, expected in ((0.5, "packed"), (2.0, "padded")):
        seconds = {"packed": packed_seconds, "padded": 1.0}
        monkeypatch.setattr(choice, "seconds_for", lambda batching, _, s=seconds: s[batching.name])
        assert choice.choose("auto", samples, timed=True).name == expected
    assert model.config._attn_implementation == choice.own_attention  # noqa: SLF001 - has no other name


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_lowered_precision_keeps_the_vectors(
    bert: Loaded, bert_folder: Path, precision: str
) -> None:
    lowered = load(bert_folder, config={"precision": precision})
    assert lowered.describe()["precision"] == precision
    assert cosine_similarity(vectors(lowered, TEXTS), vectors(bert, TEXTS)).min() > 0.99


# torch scripts modules of its own when its compiler starts.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is:DeprecationWarning")
def test_a_compiled_encoder_packs_any_mixture_and_agrees(bert: Loaded, bert_folder: Path) -> None:
    need_compiler()
    patient = {"compile": "on", "startup_timeout_seconds": 3600}  # however busy the machine is
    compiled = load(bert_folder, config=patient)
    described = compiled.describe()
    assert (described["compile"], described["batching"]) == (True, "packed")
    assert cosine_similarity(vectors(compiled, TEXTS), vectors(bert, TEXTS)).min() > 0.9999


def test_a_text_may_be_a_string_or_an_object(bert: Loaded) -> None:
    plain, wrapped = bert.results("coffee", {"text": "coffee", "parameters": {}})
    assert plain == pytest.approx(wrapped, abs=1e-6)
    assert len(plain) == bert.describe()["hidden_size"] == 32
    assert bert.describe()["output"] == {"shape": [32], "dtype": "float32"}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (1, "must be text"),
        (["a"], "must be text"),
        (None, "must be text"),
        ({}, "`text`"),
        ({"text": 1}, "text"),
        ({"text": "a", "lang": "en"}, "lang"),
        ({"text": "a", "parameters": {"top_k": 5}}, "Unknown parameter 'top_k'"),
        ({"text": "a", "parameters": None}, "parameters"),
        ("abcdef", "6 characters; at most 5 are allowed"),
        ("\ud800", "surrogate"),
    ],
)
def test_anything_but_text_is_refused_in_a_sentence(shy: Loaded, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        shy.handler.decode(value, {})


@pytest.fixture(scope="module")
def shy(bert_folder: Path) -> Loaded:
    """It takes five characters."""
    return load(bert_folder, max_characters=5)


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_answer_as_sentence_transformers_does(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name]
    build(tmp_path, layout)
    expected = json.loads(EXPECTED.read_text())
    loaded = load(tmp_path)
    assert loaded.describe()["max_length"] == LIMIT
    found = vectors(loaded, SENTENCES)
    assert (found - torch.tensor(expected[name])).abs().max() < 2e-5
    if layout.prompts:
        asked = [{"text": text, "parameters": {"prompt_name": "passage"}} for text in SENTENCES]
        found = torch.tensor(loaded.results(*asked))
        assert (found - torch.tensor(expected[f"{name}, {PROMPTED}"])).abs().max() < 2e-5


def test_an_unknown_prompt_is_refused_by_its_name(tmp_path: Path) -> None:
    build(tmp_path, LAYOUTS["Qwen3-Embedding"])
    loaded = load(tmp_path)
    with pytest.raises(InvalidInput, match="prompt_name: expected one of: query, passage; got 'x'"):
        loaded.handler.decode({"text": "a", "parameters": {"prompt_name": "x"}}, {})


def test_options_come_before_the_checkpoints_own_files(tmp_path: Path) -> None:
    build(tmp_path, LAYOUTS["mean with max"])
    assert len(load(tmp_path, pooling="cls").results("coffee")[0]) == WIDTH
    both = vectors(load(tmp_path, pooling=["max", "mean"], normalize=True), ["coffee"])
    assert both.shape == (1, 2 * WIDTH)
    assert both.norm() == pytest.approx(1)
    build(tmp_path, LAYOUTS["all-MiniLM-L6-v2"])
    assert vectors(load(tmp_path, normalize=False), ["coffee"]).norm() != pytest.approx(1, abs=0.01)


THEIRS = "sentence_transformers.models."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([(2, "type", THEIRS + "WordWeights")], "the module WordWeights is not supported"),
        ([(2, "type", THEIRS + "LSTM")], "the module LSTM is not supported"),
        ([(2, "type", "custom_st.Projection")], "custom_st.Projection has its own code"),
        (
            [(1, "type", THEIRS + "WeightedLayerPooling")],
            "WeightedLayerPooling is not supported as module 1",
        ),
        ([(0, "type", THEIRS + "StaticEmbedding")], "StaticEmbedding is not supported as module 0"),
        ([(0, "type", THEIRS + "CLIPModel")], "CLIPModel is not supported as module 0"),
        ([(2, "path", "../other")], "../other is not a folder inside the model"),
        ([(2, "path", "nowhere")], "Dense: nowhere/config.json is missing"),
    ],
)
def test_a_module_that_is_not_known_is_refused_by_its_name(
    tmp_path: Path, changes: list[tuple[int, str, str]], sentence: str
) -> None:
    build(tmp_path, LAYOUTS["LaBSE"])
    file = tmp_path / "modules.json"
    modules = json.loads(file.read_text())
    for number, key, value in changes:
        modules[number][key] = value
    file.write_text(json.dumps(modules))
    with pytest.raises(LoadError, match=sentence):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("1_Pooling", {"pooling_mode_median_tokens": True}, "supported: pooling_mode_median"),
        ("1_Pooling", {"pooling_mode": "median"}, "Pooling: not supported: median"),
        ("2_Dense", {"activation_function": "os.system"}, "activation os.system is not supported"),
        ("2_Dense", {"module_input_name": "token_embeddings"}, "module_input_name"),
    ],
)
def test_a_setting_that_is_not_known_is_refused_by_its_name(
    tmp_path: Path, name: str, settings: dict[str, Any], sentence: str
) -> None:
    build(tmp_path, LAYOUTS["LaBSE"])
    file = tmp_path / name / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(LoadError, match=sentence):
        load(tmp_path)


def test_a_dense_layer_without_its_weights_is_a_load_error(tmp_path: Path) -> None:
    build(tmp_path, LAYOUTS["LaBSE"])
    (tmp_path / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(LoadError, match=r"2_Dense/model\.safetensors"):
        load(tmp_path)


def test_a_text_that_is_no_unicode_fails_alone(bert: Loaded) -> None:
    good, bad = bert.rows({"body": "coffee"}, {"body": "\udcff"})
    assert bert.context.statuses == {1: 400}
    assert len(msgspec.json.decode(good)) == 32
    assert b"surrogate" in bad


def test_a_long_text_is_cut_at_the_limit(bert: Loaded, bert_folder: Path) -> None:
    assert bert.describe()["max_length"] == 64
    short = load(bert_folder, max_length=8)
    assert short.describe()["max_length"] == 8
    assert short.results("a lazy dog " * 2) == short.results("a lazy dog " * 50)
    with pytest.raises(
        LoadError, match="max_length: must be at most 64, the longest text of this model, not 65"
    ):
        load(bert_folder, max_length=65)


def test_a_folder_without_tokenizer_or_safetensors_is_a_load_error(
    tmp_path: Path, bert_folder: Path
) -> None:
    with pytest.raises(LoadError, match="tokenizer"):
        load(tmp_path)
    for file in bert_folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(LoadError, match="model"):
        load(tmp_path)


def test_packed_attention_refuses_what_it_does_not_know() -> None:
    attention = PackedAttention()
    tensor = torch.zeros(1, 2, 3, 4)
    for kwargs in ({"position_bias": tensor}, {"sliding_window": 8}, {"softcap": 30.0}):
        with pytest.raises(CannotPack, match=next(iter(kwargs))):
            attention(torch.nn.Identity(), tensor, tensor, tensor, None, **kwargs)
    with pytest.raises(CannotPack, match="mask"):
        attention(torch.nn.Identity(), tensor, tensor, tensor, tensor)


def test_texts_of_one_length_share_a_call() -> None:
    assert runs_of([1, 1, 2, 3, 3, 3]) == [(2, 1), (1, 2), (3, 3)]


def test_a_pass_is_dealt_to_rows_of_about_the_same_length() -> None:
    lengths = [5, 5, 9, 30, 40, 60, 61, 90]
    rows = dealt(lengths, 3)
    assert sorted(chain(*rows)) == list(range(8))
    assert [sum(lengths[place] for place in row) for row in rows] == [99, 101, 100]
    assert all(row == sorted(row) for row in rows)


@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([1], id="one text"),
        pytest.param([0], id="a text without tokens"),
        pytest.param([20] * 6, id="little to do"),
        pytest.param([9, 9, 9, 256], id="one text is most of it"),
    ],
)
def test_a_pass_that_cannot_be_dealt_well_is_one_row(lengths: list[int]) -> None:
    assert dealt(lengths, 4) == [list(range(len(lengths)))]


def test_each_thread_runs_a_row_of_its_own_with_the_same_vectors(bert: Loaded) -> None:
    handler = bert.handler
    assert isinstance(handler, TextEmbeddingHandler)
    threads = torch.get_num_threads()
    rows: list[tuple[int, int]] = []  # the texts' tokens, and the threads that work on them

    def note(_: Any, __: Any, given: dict[str, torch.Tensor]) -> None:
        rows.append((given["input_ids"].numel(), torch.get_num_threads()))

    hook = handler.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(vectors(bert, TEXTS * 6))
    finally:
        torch.set_num_threads(threads)
        hook.remove()
    together, *apart = rows
    assert together[1] == 1
    assert len(apart) == 3
    assert sum(tokens for tokens, _ in apart) == together[0]
    assert {count for _, count in apart} == {1}
    assert found[1].allclose(found[0], atol=1e-6)


def test_no_text_is_padded_beyond_double_its_length() -> None:
    texts = [[0] * length for length in (200, 30, 5, 16, 33, 70, 64, 1)]
    groups = PaddedBatching(0).groups(texts, 4096)
    lengths = [[len(texts[place]) for place in group] for group in groups]
    assert lengths == [[1, 5, 16, 30], [33, 64], [70], [200]]


def test_a_pass_has_no_more_tokens_than_allowed_unless_one_text_has() -> None:
    texts = [[0] * length for length in (5, 6, 3, 40)]
    assert PackedBatching(PackedAttention()).groups(texts, 10) == [[2, 0], [1], [3]]
    assert PaddedBatching(0).groups(texts, 10) == [[2, 0], [1], [3]]
