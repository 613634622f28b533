"""Who may import whom, and what only a few may touch.

The contracts of import-linter and ruff's banned names, both in pyproject.toml, say most of it; here
are the rules that neither can say.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIDECAR = sorted((ROOT / "sidecar").rglob("*.py"))
HANDLERS = sorted((ROOT / "handlers").rglob("*.py"))
VARIABLES = {  # which variables each module asks for by name; pyproject.toml says who may
    "sidecar/settings.py": set[str](),  # all that begin with SIDECAR_
    "sidecar/torchserve/java.py": {"JAVA_HOME", "PATH"},
    "sidecar/telemetry/gpus.py": {"CUDA_VISIBLE_DEVICES"},
    "sidecar/torchserve/forked_workers/launcher.py": {"WORKER_PYTHON", "WORKER_TEMPLATE_SOCKET"},
    "sidecar/torchserve/forked_workers/request_batches.py": {
        "TS_DECODE_INPUT_REQUEST",
        "WORKER_BATCH_SIZES",
    },
}
OTHER_PROGRAMS = ROOT / "sidecar" / "torchserve" / "forked_workers"  # nobody imports them
ENDING = {"sys.exit", "os._exit", "exit", "quit", "SystemExit"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """Return what *path* imports, each as ``module`` or ``module.name``."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def test_the_import_contracts_are_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sidecar_and_the_handlers_do_not_import_each_other() -> None:
    """They are two programs, which meet over HTTP alone."""
    own = {path.relative_to(ROOT / "handlers").with_suffix("").parts[0] for path in HANDLERS}
    crossing = {name_of(path) for path in SIDECAR if imported_packages(path) & own}
    crossing |= {name_of(path) for path in HANDLERS if "sidecar" in imported_packages(path)}
    assert not crossing


def test_the_client_of_torchserve_knows_nothing_of_aiohttps_server() -> None:
    """The contracts see aiohttp as one package."""
    for path in (ROOT / "sidecar" / "torchserve").glob("*.py"):
        assert not {name for name in imported(path) if name.startswith("aiohttp.web")}


def test_one_place_sets_a_models_state_and_one_moves_its_gate() -> None:
    setting, moving = set[str](), set[str]()
    for path in sorted((ROOT / "sidecar").rglob("*.py")):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            place = f"{name_of(path)}:{node.name}"
            if path.parent.name == "models" and "self._state" in assigned(node):
                setting.add(place)
            moved = {"open", "hold", "close"} & called_on_a_dispatcher(node)
            if moved:
                moving.add(place)
    model = "sidecar/models/model.py"
    assert setting == {f"{model}:__init__", f"{model}:_move"}
    assert moving == {f"{model}:_set_gate"}


def assigned(function: ast.AST) -> set[str]:
    stored = (node for node in ast.walk(function) if isinstance(node, ast.Attribute))
    return {ast.unparse(node) for node in stored if isinstance(node.ctx, ast.Store)}


def called_on_a_dispatcher(function: ast.AST) -> set[str]:
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {
        func.attr
        for func in called
        if isinstance(func, ast.Attribute) and ast.unparse(func.value).endswith("dispatcher")
    }


def variables(path: Path) -> Iterator[str]:
    """Yield the names asked for in ``environ["X"]``, ``environ.get("X")`` and ``getenv("X")``."""
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


def test_each_module_asks_the_environment_for_its_own_variables_only() -> None:
    asked = {name_of(path): set(variables(path)) for path in SIDECAR}
    assert {
        name: names for name, names in asked.items() if names - VARIABLES.get(name, set())
    } == {}


def test_only_what_runs_as_a_program_exits() -> None:
    """A module exits under ``if __name__ == "__main__":`` and nowhere else."""
    modules = [path for path in SIDECAR if OTHER_PROGRAMS not in path.parents]
    exiting = {name_of(path) for path in modules if used_outside_main(path) & ENDING}
    assert not exiting


def used_outside_main(path: Path) -> set[str]:
    return {
        ast.unparse(node)
        for statement in tree(path).body
        if not is_main_guard(statement)
        for node in ast.walk(statement)
        if isinstance(node, ast.expr)
    }


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
