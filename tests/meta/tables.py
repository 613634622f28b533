"""The tables of fields in the documents, made from the types: `scripts/tables` writes them anew.

A row's name, default and unit come from the type, its meaning is what the document says already.
A field that the table lacks is added at its end, for somebody to say what it means; a row whose
field is gone is removed.  The meaning of a metric comes from
the code too: scrapers read it.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from sidecar.readings import all_readings
from sidecar.schemas.model_spec import Inference, ModelSpec
from sidecar.settings import ENVIRONMENT_PREFIX, Settings
from sidecar.telemetry.families import FamilyDescription
from sidecar.telemetry.prometheus import Metrics

DOCS = Path(__file__).resolve().parents[2] / "docs"
DERIVED_SETTINGS = {  # defaults that are made of other settings
    "log_dir": "`<state_dir>/logs`",
    "api_keys_file": "`<state_dir>/api_keys.json`",
    "jwt_algorithm": "by what is set",
}
DERIVED_FIELDS = {"archive": "`<key>.mar`"}
UNITS = {"_seconds": "seconds", "_mb": "2^20 bytes", "_ms": "ms"}  # by suffix

Cells = list[str]


def setting_default(value: Any) -> str:
    """Return a default as the table of settings has it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else f"`{value}`"


def field_default(value: Any) -> str:
    """Return a default as the tables of models.json have it: JSON; nothing for a nested object."""
    if value is msgspec.NODEFAULT or isinstance(value, msgspec.Struct):
        return ""
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, float):
        return f"{value:g}"
    text = msgspec.json.encode(value).decode()
    return f"`{text}`" if text in ("[]", "{}") else text


def settings_rows() -> dict[str, Cells]:
    """Return default and unit of each setting, by its variable."""
    settings = Settings()
    return {
        f"{ENVIRONMENT_PREFIX}{name.upper()}": [
            DERIVED_SETTINGS.get(name) or setting_default(getattr(settings, name)),
            unit_of(name),
        ]
        for name in Settings.__struct_fields__
    }


def field_rows(kind: type[msgspec.Struct], *, units: bool) -> dict[str, Cells]:
    """Return default, and unit if the table has that column, of each field of *kind*."""
    rows = {}
    for field in msgspec.structs.fields(kind):
        default = DERIVED_FIELDS.get(field.name) or field_default(_default_of(field))
        rows[field.encode_name] = [default, unit_of(field.name)] if units else [default]
    return rows


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def unit_of(name: str) -> str:
    """Return the unit that *name* ends with; nothing if it names none."""
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


def rewritten(document: str, header: str, rows: Mapping[str, Cells]) -> str:
    """Return *document* with the table under *header* made from *rows*."""
    before, found, rest = document.partition(f"{header}\n")
    assert found, f"no table begins with {header}"
    lines = rest.split("\n")
    count = next(index for index, line in enumerate(lines) if not line.startswith("|"))
    table, known = [], set()
    for line in lines[:count]:
        name = re.match(r"\| `(\w+)` \|", line)
        if name is None:  # the rule below the header, or a heading inside the table
            table.append(line)
        elif name[1] in rows:
            known.add(name[1])
            table.append(_row(name[1], rows[name[1]], line))
    table += [_row(name, cells, "") for name, cells in rows.items() if name not in known]
    return before + found + "\n".join([*table, *lines[count:]])


def _row(name: str, cells: Cells, line: str) -> str:
    """Return a row; what the type does not tell, the unit and the meaning, is kept from *line*."""
    said = [cell.strip() for cell in line.strip("|").split("|")[1:]]
    said += [""] * (len(cells) + 1 - len(said))
    told = [cells[0], *(cell or said[1] for cell in cells[1:])]
    meaning = "|".join(line.split("|")[len(cells) + 2 : -1]).strip()
    row = "| " + " | ".join([f"`{name}`", *told, meaning]) + " |"
    return row.replace("|  |", "| |").replace("|  |", "| |")


def metric_descriptions() -> list[FamilyDescription]:
    """Return the descriptions of all metrics, in the order of their document."""
    nothing = cast("Any", None)  # nothing is read before a scrape
    return [each.description for each in (*Metrics().families, *all_readings(nothing))]


def metrics_table() -> str:
    """Return the rows of the table of metrics."""
    rows = []
    for kind, name, meaning, labels in metric_descriptions():
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {kind} | {shown} | {meaning} |".replace("|  |", "| |"))
    return "\n".join(rows)


def with_metrics(document: str) -> str:
    """Return *document* with the rows of the table of metrics made anew."""
    header = "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n"
    before, found, rest = document.partition(header)
    assert found, f"no table begins with {header}"
    return before + found + metrics_table() + "\n\n" + rest.partition("\n\n")[2]


TABLES: list[tuple[str, str, Callable[[], dict[str, Cells]]]] = [
    ("operations.md", "| Variable | Default | Unit | Meaning |", settings_rows),
    ("models.md", "| Field | Default | Meaning |", lambda: field_rows(ModelSpec, units=False)),
    (
        "models.md",
        "| Field of `inference` | Default | Unit | Meaning |",
        lambda: field_rows(Inference, units=True),
    ),
]


def documents() -> dict[Path, str]:
    """Return the documents as they ought to be."""
    texts: dict[Path, str] = {}
    for name, header, rows in TABLES:
        path = DOCS / name
        texts[path] = rewritten(texts.get(path) or path.read_text(), header, rows())
    operations = DOCS / "operations.md"
    texts[operations] = with_metrics(texts[operations])
    return texts


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
