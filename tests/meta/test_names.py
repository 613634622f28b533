"""Names: each class has its own, and each package's docstring is a map that names its modules."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("sidecar", "handlers")  # two programs: neither imports the other
PACKAGES = sorted(
    init.parent.relative_to(ROOT)
    for program in PROGRAMS
    for init in (ROOT / program).rglob("__init__.py")
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_class_name_is_used_twice(program: str) -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / program).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice, "name each class after what it alone is"


def test_one_module_of_the_sidecar_says_what_a_megabyte_is() -> None:
    saying = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "sidecar").rglob("*.py")
        if re.search(r"^MI?B\b.*=|/ ?2 ?\*\* ?20\b|1024 \* 1024", path.read_text(), re.MULTILINE)
    }
    assert saying == {"sidecar/settings.py"}


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_the_docstring_of_a_package_names_all_its_modules(package: Path) -> None:
    folder = ROOT / package
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    modules |= {init.parent.name for init in folder.glob("*/__init__.py")}
    named = set(re.findall(r"\w+", docstring))
    missing = sorted(modules - named)
    assert not missing, f"{package}/__init__.py must say in its docstring what these are for"


def test_a_map_names_no_module_that_is_gone() -> None:
    """Entries of a map begin a line: two spaces or more, or an arrow of names, follow the name."""
    for package in PACKAGES:
        docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
        for name in re.findall(r"^ *([a-z_0-9]+)  +\S", docstring, re.MULTILINE):
            place = ROOT / package / name
            assert place.with_suffix(".py").exists() or place.is_dir(), f"{package}: {name}"
