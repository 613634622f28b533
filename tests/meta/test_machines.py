"""The project installs on every machine that the README names, and its image holds what serves."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import distributions
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.waiting import LIMIT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ["3.11.0", "3.11.15", "3.12.0", "3.13.5"]
PROCESSORS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
Environment = dict[str, str]
ENVIRONMENTS: list[Environment] = [
    {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": processor,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "os_name": "posix",
        "extra": "",
    }
    for python, (system, processor) in product(PYTHONS, PROCESSORS)
]


def locked(*names: str) -> Iterator[tuple[Requirement, str]]:
    """Each requirement of these lock files, and the lines that it takes."""
    for name in names:
        text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield Requirement(line.partition("--hash")[0]), line


def installed_on(environment: Environment, *names: str) -> set[str]:
    return {
        canonicalize_name(requirement.name)
        for requirement, _ in locked(*names)
        if not requirement.marker or requirement.marker.evaluate(environment)
    }


@pytest.fixture(scope="module")
def requirements() -> dict[str, list[Requirement]]:
    """What each installed package says that it needs."""
    return {
        canonicalize_name(distribution.name): [
            Requirement(line) for line in distribution.requires or () if "extra ==" not in line
        ]
        for distribution in distributions()
    }


@pytest.mark.parametrize("names", [("runtime",), ("runtime", "test")], ids=["runtime", "test"])
@pytest.mark.parametrize(
    "environment",
    ENVIRONMENTS,
    ids=lambda it: "-".join(it[key] for key in ("python_full_version", "platform_machine")),
)
def test_the_requirements_of_locked_packages_are_locked_for_every_machine(
    environment: Environment, names: tuple[str, ...], requirements: dict[str, list[Requirement]]
) -> None:
    """redis needs async-timeout below Python 3.11.3, and no machine above it shows that."""
    there = installed_on(environment, *names)
    missing = {
        f"{name} needs {need}"
        for name in there & requirements.keys()
        for need in requirements[name]
        if canonicalize_name(need.name) not in there | {"pip"}  # every environment has that
        and (not need.marker or need.marker.evaluate(environment))
    }
    assert not missing


@pytest.mark.parametrize("name", ["runtime", "test", "java", "cuda", "torch"])
def test_every_locked_package_is_pinned_by_version_and_hashes(name: str) -> None:
    for requirement, line in locked(name):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line


def test_the_lock_files_fit_every_python_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = SpecifierSet(project["requires-python"])
    assert all(python in supported for python in PYTHONS)
    assert not any(python in supported for python in ("3.10.14", "3.14.0"))
    classified = {line.rpartition(" ")[2] for line in project["classifiers"] if " 3." in line}
    assert classified == {python.rpartition(".")[0] for python in PYTHONS}


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets *path* into the build: the last pattern that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            bare = pattern.removeprefix("!")
            tail = bare.removeprefix("**/")
            parts = path.split("/")
            fits = (
                any(fnmatch(part, tail) for part in parts)
                if bare.startswith("**/")
                else any(fnmatch("/".join(parts[:count]), bare) for count in range(1, 9))
            )
            if fits:
                sent = pattern.startswith("!")
    return sent


@pytest.mark.parametrize(
    "path",
    [
        "scripts/environment",
        "scripts/serve_image",
        "requirements/runtime.txt",
        "requirements/cuda.txt",
        "sidecar/torchserve/log4j2.xml",
        "handlers/handler_kit/__init__.py",
        "models.json",
        "config.properties",
        "LICENSE",
    ],
)
def test_the_image_build_gets_all_files_that_serve(path: str) -> None:
    assert (ROOT / path).exists()
    assert is_sent(path)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "var/jwt_secret",
        "key_file.json",
        "sidecar.toml",
        ".env",
        "model_store/private.mar",
        "tests/conftest.py",
        "logs/ts_log.log",
        "sidecar/__pycache__/app.cpython-311.pyc",
        "handlers/.mypy_cache/3.11/a.json",
        "requirements/runtime.in",
    ],
)
def test_secrets_and_unneeded_files_are_not_sent_to_the_build(path: str) -> None:
    assert not is_sent(path)


def test_files_that_the_dockerfile_copies_are_sent() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.MULTILINE)
    sources = [name for line in copied for name in line.split() if name != "."]
    assert sources
    assert [name for name in sources if not is_sent(f"{name}/x.txt")] == []


def test_the_image_cannot_write_its_code_and_runs_as_a_user() -> None:
    assert "COPY --chown" not in dockerfile()
    assert re.search(r"^USER 10001$", dockerfile(), re.MULTILINE)
    assert re.search(r"^VOLUME /app/var$", dockerfile(), re.MULTILINE)


def test_the_image_is_restarted_by_livez_alone() -> None:
    """/readyz is red for seconds whenever a worker dies; restarting would make that minutes."""
    check = re.search(r"^HEALTHCHECK[^\[]*(\[.*\])$", dockerfile(), re.MULTILINE)
    assert check
    assert "/livez" in check[1]
    assert "readyz" not in check[1]


def test_the_image_says_the_version_that_the_project_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'org.opencontainers.image.version="{project["version"]}"' in dockerfile()


@pytest.fixture
def path_of(tmp_path: Path) -> Path:
    """A project with scripts/environment and its own PATH, whose pythons the test writes."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    text = (ROOT / "scripts" / "environment").read_text()
    (tmp_path / "scripts" / "environment").write_text(text)
    for name in ("bash", "mkdir", "flock", "dirname"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True)
        (tmp_path / "bin" / name).symlink_to(found.stdout.strip())
    return tmp_path


def start(project: Path, pythons: dict[str, str]) -> str:
    """What scripts/environment says where PATH has these *pythons*, each a shell script."""
    for name, script in pythons.items():
        program = project / "bin" / name
        program.write_text(f"#!{project}/bin/bash\n{script}\n")
        program.chmod(0o755)
    ended = subprocess.run(
        [project / "bin" / "bash", "-c", ". scripts/environment"],
        cwd=project,
        env={"PATH": str(project / "bin")},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert ended.returncode != 0
    return ended.stderr


@pytest.mark.parametrize("version", ["3.10.12", "3.14.1"])
def test_another_python_is_refused_in_a_sentence(path_of: Path, version: str) -> None:
    script = f'[ "$1" = --version ] && echo "Python {version}" && exit; exit 1'
    said = start(path_of, {"python3": script})
    assert "needs CPython 3.11, 3.12 or 3.13" in said
    assert f"Python {version}" in said
    assert "Traceback" not in said


def test_a_missing_python_is_reported_in_one_sentence(path_of: Path) -> None:
    assert "PATH has no python3" in start(path_of, {})


def test_a_python_without_venv_names_the_package_to_install(path_of: Path) -> None:
    """Debian's python3 has no ensurepip until python3-venv is installed."""
    script = """case "$2" in
        *ensurepip*) exit 1 ;;
        *version_info*print* | *print*version_info*) echo python3.13 ;;
    esac"""
    said = start(path_of, {"python3": script})
    assert "apt-get install python3.13-venv" in said
