"""A state file with an unreadable record loses only that one."""

import json
from pathlib import Path

import pytest

from sidecar.access.api_keys import ApiKeys


@pytest.mark.parametrize("spoiled", [{"id": "spoiled"}, None, 7, "text"], ids=repr)
def test_an_unreadable_key_locks_nobody_else_out_and_leaves_a_line(
    tmp_path: Path, spoiled: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "api_keys.json"
    key, _ = ApiKeys(path).create("ci", ["stats"], None)
    path.write_text(json.dumps([spoiled, *json.loads(path.read_bytes())]))
    assert ApiKeys(path).verify(key).subject == "ci"
    assert "api_keys.json: record 1: left out" in caplog.text
