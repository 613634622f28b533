"""Who may import whom, and what only a few may touch.  `sidecar/__init__.py` draws the layers."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIDECAR = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "sidecar").rglob("*.py"))
}
HANDLERS = sorted((ROOT / "handlers").rglob("*.py"))
HANDLER_MODULES = {
    path.relative_to(ROOT / "handlers").with_suffix("").parts[0] for path in HANDLERS
}

LAYERS = [
    {"__main__"},
    {"app", "configuration", "lifecycle"},
    {"routes", "services", "web", "background"},
    {"speech", "models", "downloads"},
    {"scheduling", "caching"},
    {"telemetry"},
    {"torchserve"},
    {
        "errors",
        "settings",
        "schemas",
        "backoff",
        "lateness",
        "records",
        "state_folder",
        "whole_file",
    },
]
BESIDE = {  # they import the lowest layer and each other as told; who may import them
    "access": {"__main__", "app", "configuration", "routes", "services", "web"},
    "archives": {"downloads"},
    "catalog": {
        *("__main__", "app", "configuration", "routes", "services"),
        *("archives", "models", "speech", "downloads"),
    },
}
WEB_SIDE = {"__main__", "app", "routes", "services", "web"}
CLIENT_SIDE = {"torchserve"}
NEITHER_SIDE = {"hdrs", "http_exceptions", "streams"}  # names; malformed messages; bodies
ENVIRONMENT = {  # who holds os.environ, and which variables they ask it for by name
    "sidecar.settings": set[str](),  # all that begin with SIDECAR_
    "sidecar.torchserve.java": {"JAVA_HOME", "PATH"},  # the machine's, not ours
    "sidecar.telemetry.gpus": {"CUDA_VISIBLE_DEVICES"},  # the same
    "sidecar.torchserve.process": set[str](),  # passes on what is allowed
    "sidecar.archives.archive": set[str](),  # passes it on
    "sidecar.downloads.fetch_process": set[str](),  # passes on what is allowed
}

modules = pytest.mark.parametrize("module", SIDECAR)


def part_of(module: str) -> str:
    """``sidecar.routes.info`` is of the part ``routes``; the package itself is ``sidecar``."""
    return "sidecar" if module == "sidecar" else module.split(".")[1]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """All names that *path* imports, anywhere in it, each as module or as module.name."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def imported_modules(module: str) -> set[str]:
    """The modules of the sidecar that *module* imports; not the package, which holds nothing."""
    found = set()
    for name in imported(SIDECAR[module]):
        owner = name if name in SIDECAR else name.rpartition(".")[0]
        if owner in SIDECAR and owner != "sidecar":
            found.add(owner)
    return found


def may_import(part: str) -> set[str]:
    beside = {name for name, importers in BESIDE.items() if part in importers}
    if part in BESIDE:
        return {part} | beside | LAYERS[-1]
    height = next(index for index, layer in enumerate(LAYERS) if part in layer)
    if height == len(LAYERS) - 1:
        return {part}
    return beside.union(*LAYERS[height:])


def aiohttp_names(path: Path) -> set[str]:
    """What of aiohttp *path* uses: ``web``, ``hdrs``, ``ClientSession`` …"""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("aiohttp.")}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "aiohttp":
            names.add(node.attr)
    return names


def is_web_side(name: str) -> bool:
    return name == "web" or name.startswith("web_")


def test_every_part_has_its_place() -> None:
    parts = {part_of(module) for module in SIDECAR} - {"sidecar"}
    assert parts == set(BESIDE).union(*LAYERS)


@modules
def test_imports_go_down_only(module: str) -> None:
    if module == "sidecar":
        assert not imported(SIDECAR[module]), "the package is only the map"
        return
    parts = {part_of(each) for each in imported_modules(module)}
    assert parts <= may_import(part_of(module))


def test_no_imports_go_round_in_a_circle() -> None:
    TopologicalSorter({module: imported_modules(module) for module in SIDECAR}).prepare()


@modules
def test_only_the_outer_layers_know_aiohttps_web_side(module: str) -> None:
    used = {name for name in aiohttp_names(SIDECAR[module]) if is_web_side(name)}
    assert not used or part_of(module) in WEB_SIDE


@modules
def test_only_torchserve_knows_aiohttps_client_side(module: str) -> None:
    names = aiohttp_names(SIDECAR[module]) - NEITHER_SIDE
    used = {name for name in names if not is_web_side(name)}
    assert not used or part_of(module) in CLIENT_SIDE


@modules
def test_only_speech_knows_ffmpeg(module: str) -> None:
    assert "av" not in imported_packages(SIDECAR[module]) or part_of(module) == "speech"


@modules
def test_the_sidecar_imports_neither_torch_nor_handlers(module: str) -> None:
    forbidden = {"torch", "transformers", "ts"} | HANDLER_MODULES
    assert not imported_packages(SIDECAR[module]) & forbidden


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_handlers_never_import_the_sidecar(path: Path) -> None:
    assert "sidecar" not in imported_packages(path)


def holds_environment(path: Path) -> bool:
    mentioned = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.expr)}
    held = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
    return bool((mentioned | imported(path)) & held)


def variables(path: Path) -> Iterator[str]:
    """The names asked for in ``environ["NAME"]``, ``environ.get("NAME")``, ``getenv("NAME")``."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Subscript):
            source, key = ast.unparse(node.value), node.slice
        elif isinstance(node, ast.Call) and node.args:
            source, key = ast.unparse(node.func), node.args[0]
        else:
            continue
        last = source.removesuffix(".get").split(".")[-1]
        if last in ("environ", "getenv") and isinstance(key, ast.Constant):
            yield str(key.value)


def test_few_hold_the_environment_and_only_settings_reads_ours() -> None:
    holders = {module for module, path in SIDECAR.items() if holds_environment(path)}
    assert holders == set(ENVIRONMENT)
    assert {module: set(variables(SIDECAR[module])) for module in holders} == ENVIRONMENT


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_handlers_leave_the_environment_alone(path: Path) -> None:
    assert not holds_environment(path)


@modules
def test_only_what_runs_as_a_program_exits(module: str) -> None:
    """Under ``if __name__ == "__main__":`` and nowhere else."""
    program = tree(SIDECAR[module])
    body = [node for node in program.body if not is_main_guard(node)]
    exits = {"sys.exit", "os._exit", "exit", "quit", "SystemExit"}
    for node in body:
        used = {ast.unparse(each) for each in ast.walk(node) if isinstance(each, ast.expr)}
        assert not used & exits


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
