"""The tables of fields in the documents, made from the types: `scripts/tables` writes them.

A row's name and default come from the field, its meaning from the docstring below the field.  The
unit is told by the name, the type, or a last ``[unit]`` of the docstring.  A field that the table
lacks is added after the field before it.  Only headings between the rows are the document's own.
The meaning of a metric comes from the code too: scrapers read it.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import msgspec

from handler_kit.options import EmbeddingOptions, InputOptions, TensorOptions
from sidecar.readings import all_readings
from sidecar.schemas.model_spec import Inference, ModelSpec
from sidecar.settings import ENVIRONMENT_PREFIX, Settings
from sidecar.telemetry.families import FamilyDescription
from sidecar.telemetry.prometheus import Metrics
from synthesis_kit.options import SynthesisOptions
from text_kit.generation_settings import GenerationParameters
from text_kit.options import TextOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
DERIVED_SETTINGS = {  # defaults that are made of other settings
    "log_dir": "`<state_dir>/logs`",
    "api_keys_file": "`<state_dir>/api_keys.json`",
    "jwt_algorithm": "by what is set",
}
DERIVED_FIELDS = {"archive": "`<key>.mar`"}
UNITS = {"_seconds": "seconds", "_mb": "2^20 bytes", "_ms": "ms", "_url": "URL"}  # by suffix
PATH_UNIT = "path"

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
    return f"`{text}`" if text[0] in "[{" else text


def meanings(kind: type[msgspec.Struct]) -> dict[str, tuple[str, str]]:
    """Return the docstring below each field of *kind*, and its unit, "" where it has none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    told = {}
    for field, below in pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name), annotation=annotation),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                told[name] = _meaning_and_unit(name, " ".join(text.split()), annotation)
    return told


def _meaning_and_unit(name: str, text: str, annotation: ast.expr) -> tuple[str, str]:
    if found := re.fullmatch(r"(.*) \[([^\]]+)\]", text):
        return found[1], found[2]
    if any(isinstance(part, ast.Name) and part.id == "Path" for part in ast.walk(annotation)):
        return text, PATH_UNIT
    return text, next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


def settings_rows() -> dict[str, Cells]:
    """Return default, unit and meaning of each setting, by its variable."""
    settings, told = Settings(), meanings(Settings)
    rows = {}
    for name in Settings.__struct_fields__:
        meaning, unit = told.get(name, ("", ""))
        default = DERIVED_SETTINGS.get(name) or setting_default(getattr(settings, name))
        rows[f"{ENVIRONMENT_PREFIX}{name.upper()}"] = [default, unit, meaning]
    return rows


def field_rows(kind: type[msgspec.Struct], *, units: bool) -> dict[str, Cells]:
    """Return default, unit if the table has that column, and meaning of each field of *kind*."""
    rows, told = {}, meanings(kind)
    for field in msgspec.structs.fields(kind):
        if field.name not in kind.__annotations__:
            continue  # it is its parent's
        meaning, unit = told.get(field.name, ("", ""))
        default = DERIVED_FIELDS.get(field.name) or field_default(_default_of(field))
        rows[field.encode_name] = [default, *([unit] if units else []), meaning]
    return rows


def tensor_rows() -> dict[str, Cells]:
    """Return the rows of the options of tensor models, with those of their input at the end."""
    rows = field_rows(TensorOptions, units=False)
    del rows["input"]
    nested = field_rows(InputOptions, units=False)
    return rows | {f"input.{name}": cells for name, cells in nested.items()}


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def rewritten(document: str, header: str, rows: Mapping[str, Cells]) -> str:
    """Return *document* with the table under *header* made from *rows*."""
    before, found, rest = document.partition(f"{header}\n")
    assert found, f"no table begins with {header}"
    lines = rest.split("\n")
    count = next(index for index, line in enumerate(lines) if not line.startswith("|"))
    named = [(re.match(r"\| `([\w.]+)` \|", line), line) for line in lines[:count]]
    known = {name[1] for name, _ in named if name is not None}
    missing = _by_predecessor(rows, known)
    table = []
    for name, line in named:
        if name is None:  # the rule below the header, or a heading inside the table
            table.append(line)
        elif name[1] in rows:
            table += [_row(each, rows[each]) for each in (name[1], *missing.get(name[1], []))]
    return before + found + "\n".join([*table, *lines[count:]])


def _by_predecessor(rows: Mapping[str, Cells], known: Collection[str]) -> dict[str, list[str]]:
    """Return the names of *rows* that are not *known*, by the known one that they follow."""
    missing: dict[str, list[str]] = {}
    before = next(name for name in rows if name in known)
    for name in rows:
        if name in known:
            before = name
        else:
            missing.setdefault(before, []).append(name)
    return missing


def _row(name: str, cells: Cells) -> str:
    row = "| " + " | ".join([f"`{name}`", *cells]) + " |"
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


OPTIONS: dict[str, type[msgspec.Struct]] = {  # by the first cell of the table's header
    "Option of `text_embedding_handler`": EmbeddingOptions,
    "Option of `text_handler`": TextOptions,
    "Option of `speech_synthesis_handler`": SynthesisOptions,
    "Parameter of what is written": GenerationParameters,
}
TABLES: list[tuple[str, str, Callable[[], dict[str, Cells]]]] = [
    ("operations.md", "| Variable | Default | Unit | Meaning |", settings_rows),
    ("models.md", "| Field | Default | Meaning |", partial(field_rows, ModelSpec, units=False)),
    (
        "models.md",
        "| Field of `inference` | Default | Unit | Meaning |",
        partial(field_rows, Inference, units=True),
    ),
    ("models.md", "| Option of `tensor_handler` | Default | Meaning |", tensor_rows),
    *(
        ("models.md", f"| {title} | Default | Meaning |", partial(field_rows, kind, units=False))
        for title, kind in OPTIONS.items()
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
