"""models.json: one checked model of it, and every name that people use."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from sidecar.catalog.catalog import catalog_schema, load_catalog, parse_catalog
from sidecar.catalog.entries import CatalogError

ROOT = Path(__file__).parents[3]
ENTRY: dict[str, Any] = {
    "display_name": "One",
    "description": "",
    "source": "builtin",
    "task": "tensor",
    "handler": "tensor_handler",
}


def catalog_of(**models: dict[str, Any]) -> bytes:
    return json.dumps({"models": models}).encode()


def test_the_shipped_catalog_is_valid_for_us_and_for_editors() -> None:
    catalog = load_catalog(ROOT / "models.json")
    assert {"example", "sentence_transformer"} <= set(catalog)
    schema = json.loads((ROOT / "docs" / "models.schema.json").read_bytes())
    jsonschema.validate(json.loads((ROOT / "models.json").read_bytes()), schema)


def test_the_schema_file_is_up_to_date() -> None:
    written = json.loads((ROOT / "docs" / "models.schema.json").read_bytes())
    assert written == json.loads(msgspec.json.encode(catalog_schema()))


@pytest.mark.parametrize(
    "name",
    [
        "sentence_transformer",
        "sentence-transformer",
        "Sentence-Transformer",
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-minilm-l6-v2",
        "minilm",
    ],
)
def test_a_model_answers_to_key_hub_id_alias_and_hyphens(name: str) -> None:
    assert load_catalog(ROOT / "models.json").key_of(name) == "sentence_transformer"


def test_an_unknown_name_has_no_key() -> None:
    assert load_catalog(ROOT / "models.json").key_of("gpt-17") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "dreaming"}, r"one: .*task"),
        ({"inference": {"max_batch_size": 0}}, r"one: .*inference.max_batch_size"),
        ({"inference": {"workers": {"min": 3, "max": 2}}}, r"one: .*max must not be below min"),
        ({"colour": "red"}, r"one: .*colour"),
        ({"source": "package"}, r"one: .*package"),
        ({"device": "cpu", "gpu_ids": [0]}, r"one: .*gpu_ids"),
        ({"precision": 16}, r"one: .*precision"),
    ],
)
def test_a_wrong_entry_is_named_with_its_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        parse_catalog(catalog_of(one=ENTRY | change))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"models": {"Not OK": {}}}'])
def test_a_wrong_file_is_refused(data: bytes) -> None:
    with pytest.raises(CatalogError, match=r"models\.json"):
        parse_catalog(data)


def test_two_models_cannot_share_a_name() -> None:
    with pytest.raises(CatalogError, match="'uno' is also"):
        parse_catalog(
            catalog_of(one=ENTRY | {"aliases": ["uno"]}, two=ENTRY | {"aliases": ["uno"]})
        )


def test_lower_load_priority_loads_first() -> None:
    catalog = parse_catalog(
        catalog_of(
            late=ENTRY | {"auto_load": True, "load_priority": 50},
            early=ENTRY | {"auto_load": True, "load_priority": 5},
            off=ENTRY | {"auto_load": True, "enabled": False},
        )
    )
    assert catalog.auto_load() == ["early", "late"]


def test_a_key_that_torchserve_would_misread_is_refused() -> None:
    entry = json.loads((ROOT / "models.json").read_text())["models"]["example"]
    data = json.dumps({"models": {"my_token_model": entry}}).encode()
    with pytest.raises(CatalogError, match="must not contain 'token'"):
        parse_catalog(data)
