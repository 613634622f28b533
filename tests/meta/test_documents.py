"""What the documents claim is so, and what there is they tell."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from sidecar.models.states import GATES, State
from sidecar.routes.documents import ASSET_ROUTES
from sidecar.routes.groups import GROUPS, ROUTES
from sidecar.schemas.model_spec import (
    Inference,
    ModelSpec,
    Package,
    Requirements,
    Speech,
    Workers,
)
from sidecar.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings
from sidecar.web.openapi import build_document
from sidecar.web.route import Route
from tests.meta.tables import TABLES, documents

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MODEL_TYPES = (ModelSpec, Inference, Workers, Requirements, Package, Speech)
SETTINGS = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.__struct_fields__}
SCRIPTS = sorted(
    path.name
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and path.suffix not in (".md", ".pyc")
)
METHODS = "GET|POST|PUT|PATCH|DELETE"
BUILT = {"var", "logs", "model_store", "__pycache__", "node_modules"}  # folders that git ignores
KEPT = {".ci", ".github"}  # of the hidden folders, those that are ours
# Each in two pieces, or this file would be what it forbids.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".",
    "download.pytorch" + ".org",
    "debian" + ".org",
    "conda" + ".anaconda",
    "maven" + ".org",
]
MACHINE_PATHS = ["/wo" + "rk/", "/opt/" + "wheels"]


def read(path: Path) -> str:
    assert path.exists(), f"{path.relative_to(ROOT)} is missing"
    return path.read_text()


def ours() -> Iterator[Path]:
    """The files that are, or will be, committed."""
    folders = [ROOT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            hidden = path.name.startswith(".") and path.name not in KEPT
            if path.is_dir() and not path.is_symlink():
                if not hidden and path.name not in BUILT:
                    folders.append(path)
            elif path.is_file() and path.suffix != ".pyc" and path.name != ".git":
                yield path  # .git is a file in a work tree that `git worktree` made


def texts() -> Iterator[tuple[str, str]]:
    for path in ours():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_the_tables_of_fields_are_those_of_the_types(path: Path) -> None:
    assert read(path) == documents()[path], "scripts/tables writes them anew"


@pytest.mark.parametrize(("name", "header", "rows"), TABLES, ids=lambda part: str(part)[:20])
def test_every_field_of_a_table_says_what_it_means(
    name: str, header: str, rows: Callable[[], dict[str, list[str]]]
) -> None:
    unsaid = [field for field, cells in rows().items() if not cells[-1]]
    assert not unsaid, "say it in a docstring below the field, then run scripts/tables"


def test_every_setting_that_a_document_names_is_one() -> None:
    documents = [path for path in ours() if path.suffix == ".md"]
    named = {
        variable
        for path in documents
        for variable in re.findall(rf"\b{ENVIRONMENT_PREFIX}[A-Z_]*[A-Z]\b", path.read_text())
    }
    assert named <= SETTINGS | {CONFIG_VARIABLE}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_in_the_api_document(route: Route) -> None:
    name = re.escape(f"{route.method} {route.path}")
    assert re.search(name + r"(?![\w/{-])", read(DOCS / "api.md"))


def test_every_route_that_the_api_document_names_answers() -> None:
    named = re.findall(rf"\b(?:{METHODS}) (/[\w/{{}}.-]*)", read(DOCS / "api.md"))
    paths = {route.path for route in ROUTES} | {path for path, _ in ASSET_ROUTES}
    assert {path.rstrip(".") for path in named} <= paths


def test_the_openapi_document_holds_exactly_the_routes() -> None:
    documented = {
        (method.upper(), path)
        for path, operations in build_document(GROUPS, Settings().max_timeout_seconds)[
            "paths"
        ].items()
        for method in operations
    }
    assert documented == {(method, route.path) for route in ROUTES for method in route.methods}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_its_line_in_the_scripts_readme(script: str) -> None:
    line = rf"^\W*(scripts/)?{re.escape(script)}\b"
    assert re.search(line, read(ROOT / "scripts" / "README.md"), re.MULTILINE)


@pytest.mark.parametrize(
    "field",
    [f"{kind.__name__}.{name}" for kind in MODEL_TYPES for name in kind.__struct_fields__],
)
def test_every_field_of_a_model_is_in_the_models_guide(field: str) -> None:
    """As code: ```name```, ```inference.name``` or in an example."""
    text = read(DOCS / "models.md")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    assert re.search(rf"\b{field.partition('.')[2]}\b", code)


@pytest.mark.parametrize("words", [REGISTRIES, MACHINE_PATHS], ids=["registry", "machine path"])
def test_no_file_names_a_registry_or_a_path_of_one_machine(words: list[str]) -> None:
    found = [(name, word) for name, text in texts() for word in words if word in text]
    assert not found


def test_every_json_example_in_the_documents_is_json() -> None:
    blocks = [
        (path.name, block)
        for path in DOCS.glob("*.md")
        for block in re.findall(r"```json\n(.*?)```", path.read_text(), re.DOTALL)
    ]
    for name, block in blocks:
        try:
            msgspec.json.decode(block.encode())
        except msgspec.DecodeError as exc:
            pytest.fail(f"{name}: {exc}:\n{block}")


NAMED_TESTS = re.findall(r"`([\w/]+\.py)::(\w+)`", (DOCS / "security.md").read_text())


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS)
def test_every_named_security_test_exists(file: str, name: str) -> None:
    assert f"def {name}(" in read(ROOT / "tests" / file)


def test_every_decision_has_its_line_in_the_architecture() -> None:
    listed = re.findall(
        r"^\| \[(\d+)\]\(decisions/(\S+)\)", read(DOCS / "architecture.md"), re.MULTILINE
    )
    records = sorted(path.name for path in (DOCS / "decisions").iterdir())
    assert [name for _, name in listed] == records
    assert [int(number) for number, _ in listed] == [int(name[:4]) for name in records]


def rows_of(document: str, head: str) -> list[list[str]]:
    """Return the cells of the table below the row *head*, without the marks of code."""
    _, found, table = read(DOCS / document).partition(f"\n{head}\n")
    assert found, f"{document} has no table {head}"
    rows = table.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize(
    ("document", "head"),
    [
        ("api.md", "| State | What it means |"),
        ("models.md", "| State | Meaning | `/predict` |"),
    ],
)
def test_every_state_that_clients_see_is_told(document: str, head: str) -> None:
    told = [state for state, *_ in rows_of(document, head)]
    assert sorted(told) == sorted({state.shown for state in State})


def test_every_state_that_metrics_have_is_told() -> None:
    (told,) = re.findall(
        r"^\| `state` \| as in [^:]*:(.*)\|$", read(DOCS / "operations.md"), re.MULTILINE
    )
    assert sorted(re.findall(r"`(\w+)`", told)) == sorted({state.shown for state in State})


def test_the_states_of_the_architecture_are_those_of_the_code() -> None:
    rows = rows_of("architecture.md", "| State | Clients see | The queue's gate | Meaning |")
    told = {state: (shown, gate) for state, shown, gate, _ in rows}
    nobody_sees = {State.REMOVED: ""}
    assert told == {
        state.value: (nobody_sees.get(state, state.shown), GATES[state].value) for state in State
    }
