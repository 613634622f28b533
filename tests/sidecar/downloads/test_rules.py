"""The pure rules: addresses, file names, kinds of models, and what an archive may hold."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sidecar.downloads.address_guard import AddressGuard
from sidecar.downloads.counter import ProgressCounter
from sidecar.downloads.file_names import wanted, without_folders
from sidecar.downloads.kinds import kind_of
from sidecar.downloads.messages import DownloadFailed, Report
from sidecar.downloads.unpacking import unpack
from sidecar.schemas.model_spec import HANDLER_OF

GOOD = ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    "url",
    [
        "https://93.184.215.14/model.zip",
        "http://mirror.example:8080/model.zip",
        "http://INSIDE.example/model.zip",
        "https://10.0.0.7/model.zip",
    ],
)
def test_public_addresses_and_named_hosts_may_be_asked(url: str) -> None:
    AddressGuard(["mirror.example:8080", "inside.example", "10.0.0.7"]).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.215.14/model.zip",
        "http://mirror.example:8081/model.zip",
        "https://127.0.0.1/model.zip",
        "https://localhost/model.zip",
        "https://a.localhost/model.zip",
        "https://10.0.0.8/model.zip",
        "https://169.254.169.254/latest",
        "https://[::1]/model.zip",
        "https://[::ffff:10.0.0.8]/model.zip",
        "https://[fe80::1%25eth0]/model.zip",
        "https://0.0.0.0/model.zip",
        "https://224.0.0.1/model.zip",
        "file:///etc/passwd",
        "https:///model.zip",
        "https://host:nonsense/model.zip",
        "model.zip",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(DownloadFailed):
        AddressGuard(["mirror.example:8080"]).check(url)


class Stream:
    """A connection that ended at *address*."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 443) if name == "server_addr" else None


def test_a_name_that_leads_inside_the_second_time_is_refused() -> None:
    guard = AddressGuard(["mirror.example"])
    guard.check_peer("https://public.example/", Stream("93.184.215.14"))
    guard.check_peer("https://mirror.example/", Stream("10.0.0.7"))
    with pytest.raises(DownloadFailed, match=r"public\.example led to a private address"):
        guard.check_peer("https://public.example/", Stream("10.0.0.7"))


def test_settings_tokenizers_and_one_layout_of_weights_are_wanted() -> None:
    names = [
        *GOOD,
        "vocab.txt",
        "1_Pooling/config.json",
        "tokenizer.model",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "tf_model.h5",
        "model.fp16.safetensors",
        "handler.py",
        "README.md",
        "onnx/model.onnx",
        "onnx/config.json",
        "training_args.bin",
        "pytorch_model.bin.index.json",
    ]
    assert wanted(names) == [
        "1_Pooling/config.json",
        *GOOD,
        "model.safetensors.index.json",
        "tokenizer.model",
        "vocab.txt",
    ]


def test_modules_after_a_transformer_bring_weights_in_one_layout() -> None:
    names = [
        "2_Dense/config.json",
        "2_Dense/pytorch_model.bin",
        "3_Dense/config.json",
        "3_Dense/model.safetensors",
        *GOOD,
    ]
    assert wanted([*names, "3_Dense/pytorch_model.bin", "onnx/pytorch_model.bin"]) == names


def test_a_voice_brings_its_vocoder_and_its_speakers() -> None:
    names = [*GOOD, "speakers.safetensors", "vocoder/config.json", "vocoder/model.safetensors"]
    assert wanted([*names, "other.safetensors"]) == names


@pytest.mark.parametrize("names", [["config.json"], ["config.json", "training_args.bin"], []])
def test_a_model_without_weights_is_refused(names: list[str]) -> None:
    with pytest.raises(DownloadFailed, match="no weights"):
        wanted(names)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a//b",
        "./a",
        "a\\b",
        "C:a",
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "x" * 256,
    ],
)
def test_path_names_that_escape_the_folder_are_refused(name: str) -> None:
    with pytest.raises(DownloadFailed, match="not allowed"):
        wanted([*GOOD, name])


KINDS = [
    ("DistilBertForSequenceClassification", None, None, "text_classification"),
    ("BartForSequenceClassification", None, "zero-shot-classification", "zero_shot_classification"),
    ("BertForSequenceClassification", "zero-shot-classification", None, "zero_shot_classification"),
    ("BertForSequenceClassification", None, "text-ranking", "text_ranking"),
    ("BertForSequenceClassification", "text-ranking", None, "text_ranking"),
    ("BertForTokenClassification", None, None, "token_classification"),
    ("RobertaForMaskedLM", None, "fill-mask", "fill_mask"),
    ("BertForMaskedLM", "feature-extraction", "fill-mask", "embedding"),
    ("LlamaForCausalLM", None, None, "text_generation"),
    ("GPT2LMHeadModel", None, "text-generation", "text_generation"),
    ("BartForConditionalGeneration", None, "summarization", "summarization"),
    ("T5ForConditionalGeneration", None, "translation", "text2text_generation"),
    ("MarianMTModel", None, "translation", "text2text_generation"),
    ("ResNetForImageClassification", None, None, "image_classification"),
    ("MPNetModel", None, "sentence-similarity", "embedding"),
    ("WhisperForConditionalGeneration", None, None, "speech_recognition"),
    ("VitsModel", None, "text-to-speech", "speech_synthesis"),
    ("BertModel", None, "something-new", "embedding"),
]


@pytest.mark.parametrize(("architecture", "asked", "pipeline", "task"), KINDS)
def test_architecture_and_pipeline_decide_task_and_handler(
    architecture: str, asked: str | None, pipeline: str | None, task: str
) -> None:
    kind = kind_of({"architectures": [architecture]}, asked, pipeline)
    assert kind.task == task
    assert kind.handler == HANDLER_OF[kind.task]


@pytest.mark.parametrize(
    ("more", "task"),
    [
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, None),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, None),
        ({"sentence_transformers": {}, "id2label": {"0": "no", "1": "yes"}}, "text_classification"),
        ({}, "text_classification"),
    ],
)
def test_a_cross_encoder_with_one_label_ranks_whatever_the_hub_calls_it(
    more: dict[str, Any], task: str | None
) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    kind = kind_of(config | more, None, "text-classification")
    assert kind.task == (task or "text_ranking")
    assert kind_of(config | more, "text-classification", None).task == "text_classification"


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({}, None),
        ({"architectures": []}, None),
        ({"architectures": "BertModel"}, None),
        ({"architectures": ["LlavaForConditionalGeneration"]}, None),
        ({"architectures": ["XBertModel"]}, None),
        ({"architectures": ["BertModel"]}, "image-classification"),
        ({"architectures": ["BertModel"]}, "cooking"),
        ({"auto_map": {"AutoModel": "code.Model"}}, None),
    ],
)
def test_an_unknown_architecture_is_refused(config: dict[str, Any], asked: str | None) -> None:
    with pytest.raises(DownloadFailed):
        kind_of(config, asked, None)


def zip_of(path: Path, names: list[str], link: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, name)
        if link is not None:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
    return path


def tar_of(path: Path, names: list[str], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
        if link is not None:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    return path


@pytest.mark.parametrize(("make", "name"), [(zip_of, "m.zip"), (tar_of, "m.tar.gz")])
def test_an_archives_model_comes_out_of_its_only_folder(
    tmp_path: Path, make: Any, name: str
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    unpack(
        make(tmp_path / name, [f"top/{each}" for each in [*GOOD, "handler.py"]]),
        target,
        1.0,
        1000.0,
    )
    assert sorted(path.name for path in target.iterdir()) == GOOD
    assert (target / "config.json").read_text() == "top/config.json"


@pytest.mark.parametrize(("make", "name"), [(zip_of, "m.zip"), (tar_of, "m.tar.gz")])
@pytest.mark.parametrize("bad", ["../evil.json", "/evil.json", "top/../../evil.json"])
def test_an_archive_with_an_escaping_path_is_refused(
    tmp_path: Path, make: Any, name: str, bad: str
) -> None:
    with pytest.raises(DownloadFailed, match="not allowed"):
        unpack(make(tmp_path / name, [*GOOD, bad]), tmp_path, 1.0, 1000.0)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(("make", "name"), [(zip_of, "m.zip"), (tar_of, "m.tar.gz")])
def test_an_archive_with_a_link_is_refused(tmp_path: Path, make: Any, name: str) -> None:
    with pytest.raises(DownloadFailed, match="only files are taken"):
        unpack(make(tmp_path / name, GOOD, link="vocab.txt"), tmp_path, 1.0, 1000.0)


@pytest.mark.parametrize("name", ["m.zip", "m.mar", "m.tar", "m.tar.gz", "m.tar.xz"])
def test_a_damaged_archive_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8bnothing of the kind")
    with pytest.raises(DownloadFailed, match="damaged"):
        unpack(tmp_path / name, tmp_path, 1.0, 1000.0)


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="too full"):
        unpack(zip_of(tmp_path / "m.zip", GOOD), tmp_path, 1e9, 1000.0)


def test_a_disk_that_fills_up_meanwhile_ends_a_download(tmp_path: Path) -> None:
    counter = ProgressCounter(lambda _: None, tmp_path, min_free_mb=1e9, max_mb=1e9)
    counter.add(1)
    with pytest.raises(DownloadFailed, match="too full"):
        counter.add(2**25)


def test_progress_is_said_a_few_times_a_second(tmp_path: Path) -> None:
    said: list[Report] = []
    now = 0.0
    counter = ProgressCounter(said.append, tmp_path, min_free_mb=0.0, max_mb=1.0, clock=lambda: now)
    for _ in range(100):
        counter.add(1000)
        now += 0.01
    assert len(said) == 4


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/home/me/var/partial/x.bin", "x.bin"),
        ("No such file: '/srv/var/m.safetensors'", "No such file: 'm.safetensors'"),
        (
            "convert failed: [Errno 13] /opt/app/m.mar: denied",
            "convert failed: [Errno 13] m.mar: denied",
        ),
        ("https://hub.example/a/b answered 404", "https://hub.example/a/b answered 404"),
        ("config: model_type a/b is not known", "config: model_type a/b is not known"),
        ("a file", "a file"),
    ],
)
def test_the_reason_of_a_failed_download_is_public_but_its_folder_is_not(
    said: str, told: str
) -> None:
    assert without_folders(said) == told
