"""State files with records that cannot be read: each costs itself alone."""

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.downloaded import REGISTRY, Downloaded, DownloadedModels
from sidecar.downloads.record import DownloadRecord, encode_records, load_records
from sidecar.schemas.model_spec import ModelSpec
from tests.sidecar.downloads.conftest import target

SPEC = {
    "display_name": "Tiny",
    "description": "small",
    "source": "huggingface",
    "model_id": "tests/tiny",
    "task": "embedding",
    "handler": "text_embedding_handler",
}
GOOD = Downloaded(
    spec=msgspec.convert(SPEC, ModelSpec),
    source="huggingface",
    model_id="tests/tiny",
    revision=None,
    sha256=None,
    size_bytes=1,
    downloaded_at="2026-01-01T00:00:00Z",
)
BAD: dict[str, bytes] = {
    "another type": b"7",
    "null": b"null",
    "missing fields": b"{}",
    "bytes that are not text": b'{"id": "\xff"}',
}
DAMAGED = [b"spoiled", b"", b"7", b'["\\ud800"]', b"[" * 90_000]  # as a whole


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_job_costs_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    good = encode_records([DownloadRecord(id="1", target=target(), created_at=1.0)])[1:-1]
    path = tmp_path / "downloads.json"
    path.write_bytes(b"[" + BAD[reason] + b"," + good + b"]")
    with caplog.at_level(logging.WARNING):
        jobs = load_records(path)
    assert len(caplog.records) == 1
    assert "downloads.json" in caplog.text
    assert [job.id for job in jobs] == ["1"]


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_registry_record_is_ignored_and_kept_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    models = DownloadedModels(tmp_path)
    models.put("tiny", GOOD)
    file = tmp_path / REGISTRY
    file.write_bytes(b'{"bad": ' + BAD[reason] + b"," + file.read_bytes().lstrip()[1:])
    with caplog.at_level(logging.WARNING):
        assert models.records() == {"tiny": GOOD}
    assert "'bad'" in caplog.text
    models.put("second", GOOD)
    assert models.records().keys() == {"tiny", "second"}
    assert b'"bad"' in file.read_bytes()


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_file_counts_as_empty_and_is_kept_for_a_person(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "downloads.json").write_bytes(data)
    assert load_records(tmp_path / "downloads.json") == []
    (tmp_path / REGISTRY).write_bytes(data)
    models = DownloadedModels(tmp_path)
    assert models.records() == {}
    models.put("tiny", GOOD)
    assert models.records() == {"tiny": GOOD}
    assert (tmp_path / f"{REGISTRY}.damaged").read_bytes() == data


@pytest.mark.parametrize("key", ["../../etc", "", "A", "a/b", "x" * 65])
def test_a_registry_key_that_is_no_name_is_left_out(tmp_path: Path, key: str) -> None:
    records = {key: GOOD, "tiny": GOOD}
    (tmp_path / REGISTRY).write_bytes(msgspec.json.encode(records))
    assert DownloadedModels(tmp_path).records() == {"tiny": GOOD}
    job = json.loads(
        msgspec.json.encode(DownloadRecord(id="1", target=target(key=key), created_at=1.0))
    )
    (tmp_path / "downloads.json").write_text(json.dumps([job]))
    assert load_records(tmp_path / "downloads.json") == []


def test_an_unfit_registry_key_does_not_stop_the_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "models.json").write_text('{"models": {}}')
    downloaded = {"my_token": GOOD, "tiny": GOOD}
    assert list(load_catalog(tmp_path / "models.json", downloaded)) == ["tiny"]


@pytest.mark.parametrize(
    "address",
    ["https://[::1/a.zip", "https://[x]/a.zip", "", "//", "https://a:b@[/x", "http://[v]"],
)
def test_an_address_that_is_none_can_still_be_shown(address: str) -> None:
    shown: Any = target(source="url", model_id=address).shown_id
    assert isinstance(shown, str)
    assert "b@" not in shown
