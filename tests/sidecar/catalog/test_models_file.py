"""models.json grows by entries, and everything else in it stays as it was written."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.json_places import find_duplicate, find_places, line_and_column
from sidecar.catalog.models_file import ModelsFile, with_entries
from tests.sidecar.catalog.test_catalog import ENTRY, ROOT


def write(path: Path, text: str) -> ModelsFile:
    path.write_text(text)
    return ModelsFile(path, path.parent / "var")


def test_an_entry_is_added_and_what_was_there_keeps_its_layout(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    before = (ROOT / "models.json").read_text()
    path.touch(0o640)
    path.chmod(0o640)
    added = write(path, before).add({"mine": ENTRY})
    after = path.read_text()
    assert added == ["mine"]
    assert load_catalog(path)["mine"].display_name == "One"
    assert after.startswith(before.rstrip().rstrip("}").rstrip().rstrip("}").rstrip())
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "text", ['{"models": {}}', '{\n  "models": {\n  }\n}\n', '{"$schema": "a }", "models":{ } }']
)
def test_the_first_entry_of_an_empty_catalog_is_added(text: str) -> None:
    grown = json.loads(with_entries(text, {"mine": ENTRY, "other": ENTRY}))
    assert grown["models"] == {"mine": ENTRY, "other": ENTRY}


def test_an_equal_entry_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    file = write(path, json.dumps({"models": {"mine": ENTRY}}))
    before = path.read_bytes()
    assert file.add({"mine": ENTRY}) == []
    with pytest.raises(CatalogError, match="mine is there already, with another entry"):
        file.add({"new": ENTRY, "mine": ENTRY | {"display_name": "Two"}})
    assert path.read_bytes() == before


def test_every_value_has_its_place() -> None:
    text = '{\n  "a": [1, {"b": "c\\"}"}],\n  "d": null\n}'
    places = find_places(text)
    assert {path: text[place.value : place.end] for path, place in places.items()} == {
        (): text,
        ("a",): '[1, {"b": "c\\"}"}]',
        ("a", 0): "1",
        ("a", 1): '{"b": "c\\"}"}',
        ("a", 1, "b"): '"c\\"}"',
        ("d",): "null",
    }
    assert line_and_column(text, places["d",].start) == (3, 3)


@pytest.mark.parametrize(
    ("value", "found"),
    [({"a": {"b": 1}}, None), ('{"a": {"b": 1, "b": 2}}', ("a", "b")), ("[{},{}]", None)],
)
def test_a_name_that_is_there_twice_is_found(value: Any, found: tuple[str, ...] | None) -> None:
    assert find_duplicate(value if isinstance(value, str) else json.dumps(value)) == found
