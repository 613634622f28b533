"""The real TorchServe's process, stopped before it could begin."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from sidecar.settings import Settings
from sidecar.torchserve.java import find_java_home
from sidecar.torchserve.process import (
    STARTER,
    STOP_SECONDS,
    TorchServeProcess,
    allowed_environment,
    end_leftovers,
    private_folder,
)
from sidecar.torchserve.worker_template import LAUNCHER
from tests.integration.server import ROOT
from tests.waiting import until_awaited


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "store").mkdir()
    return Settings(
        state_dir=tmp_path,
        model_store=tmp_path / "store",
        torchserve_config=ROOT / "config.properties",
    )


@pytest.fixture
def process(settings: Settings) -> TorchServeProcess:
    return TorchServeProcess(settings, find_java_home())


@pytest.fixture
def choosy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TorchServeProcess:
    """One for two GPUs of many, named in a way that Java cannot read."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8f2c, 1")
    return TorchServeProcess(settings, find_java_home(), [3, 1])


async def test_a_starting_torchserve_is_stopped_at_once(process: TorchServeProcess) -> None:
    await process.start()
    group = process.pid
    assert group is not None
    began = time.monotonic()
    await process.stop()
    assert time.monotonic() - began < STOP_SECONDS
    assert not await asyncio.to_thread(process.folder.exists)
    assert not _group_lives(group)


async def test_a_torchserve_that_cannot_be_recorded_is_stopped(
    process: TorchServeProcess, tmp_path: Path
) -> None:
    record = tmp_path / f"torchserve-{Settings().port}.json"
    await asyncio.to_thread(record.mkdir)  # no file can be written there
    with pytest.raises(IsADirectoryError):
        await process.start()
    assert await process.wait() == -signal.SIGKILL


async def test_torchserve_does_not_start_once_its_sidecar_has_been_killed() -> None:
    """Later the kernel ends both together: tests/faults kill a sidecar."""
    starter_end, sidecar_end = os.pipe()
    command = [sys.executable, "-P", str(STARTER), sys.executable, "--version"]

    async def start() -> int:
        starter = await asyncio.create_subprocess_exec(
            *command, stdin=starter_end, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        return await starter.wait()

    assert await start() == 0
    os.close(sidecar_end)
    assert await start() == 1
    os.close(starter_end)


def test_the_private_folder_lies_where_sockets_fit_and_libraries_load(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("places")  # short: without the name of this test
    long, noexec, good = (folder / name for name in ("x" * 100, "noexec", "good"))
    for place in (long, noexec, good):
        place.mkdir()

    def executable(folder: Path) -> bool:
        return folder.parent != noexec

    found = private_folder(long, noexec, good, executable=executable)
    assert found.parent == good
    assert found.stat().st_mode & 0o777 == 0o700
    with pytest.raises(OSError, match=f"none of these is one: {long}, {noexec}"):
        private_folder(long, noexec, executable=executable)
    assert not [*long.iterdir(), *noexec.iterdir()]


async def start_like_torchserve(named: Path) -> asyncio.subprocess.Process:
    """A process group of its own whose command line names *named*, as TorchServe's does."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import time; time.sleep(60)",
        f"{named}/config.properties",
        start_new_session=True,
    )


def write_record(state_dir: Path, port: int, pid: int, folder: Path) -> Path:
    record = state_dir / f"torchserve-{port}.json"
    record.write_text(json.dumps({"pid": pid, "folder": str(folder)}))
    return record


async def test_leftovers_of_killed_servers_are_ended_and_removed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "torchserve-abc"
    folder.mkdir()
    leftover = await start_like_torchserve(folder)
    record = write_record(tmp_path, 8123, leftover.pid, folder)
    await asyncio.to_thread(end_leftovers, tmp_path)
    assert not psutil.pid_exists(leftover.pid)
    await leftover.wait()  # its code is lost where `end_leftovers` saw the end first
    assert not folder.exists()
    assert not record.exists()


async def test_a_process_that_was_given_the_same_number_later_is_left_alone(
    tmp_path: Path,
) -> None:
    other = await start_like_torchserve(tmp_path / "torchserve-other")
    record = write_record(tmp_path, 8123, other.pid, tmp_path / "torchserve-abc")
    await asyncio.to_thread(end_leftovers, tmp_path)
    assert other.returncode is None
    assert not record.exists()
    other.kill()
    await other.wait()


async def test_a_process_of_another_group_is_left_alone(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "torchserve-abc"
    reader = await start_like_torchserve(folder)
    write_record(tmp_path, 8123, 2**22, folder)
    await asyncio.to_thread(end_leftovers, tmp_path)
    assert reader.returncode is None
    reader.kill()
    await reader.wait()


@pytest.mark.parametrize("name", ["precious", "torchserve-x/../precious"])
def test_a_spoiled_record_removes_no_folder_that_is_not_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "torchserve-x").mkdir()
    write_record(tmp_path, 8123, 2**22, tmp_path / name)
    end_leftovers(tmp_path)
    assert (tmp_path / "precious").is_dir()


def test_an_unreadable_record_is_logged_and_the_others_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoiled = tmp_path / "torchserve-8000.json"
    spoiled.write_bytes(b"{")
    folder = tmp_path / "torchserve-abc"
    folder.mkdir()
    write_record(tmp_path, 8123, 2**22, folder)
    end_leftovers(tmp_path)
    assert "torchserve-8000.json is spoiled and removed" in caplog.text
    assert not list(tmp_path.iterdir())


async def test_torchserve_finds_a_program_kill_on_a_machine_that_has_none(
    process: TorchServeProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It ends workers by that program; slim images do not have it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    await process.start()
    assert process.pid is not None
    path = psutil.Process(process.pid).environ()["PATH"]
    await process.stop()
    program = shutil.which("kill", path=path)
    assert program is not None
    sleeper = await asyncio.create_subprocess_exec("/bin/sleep", "60")
    killer = await asyncio.create_subprocess_exec(program, "-9", str(sleeper.pid))
    assert await killer.wait() == 0
    assert await sleeper.wait() == -signal.SIGKILL


async def test_torchserve_is_told_of_gpus_by_index_alone(choosy: TorchServeProcess) -> None:
    """Its Java dies of ``GPU-…`` and of the space in ``0, 1``."""
    await choosy.start()
    try:
        assert choosy.pid is not None
        variables = await _variables_of(choosy.pid)
        config = await asyncio.to_thread((choosy.folder / "config.properties").read_text)
    finally:
        await choosy.stop()
    assert variables["CUDA_VISIBLE_DEVICES"] == "3,1"
    assert variables["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert "number_of_gpu=2" in config.splitlines()


async def test_a_new_torchserve_finds_the_template_that_served_the_one_before(
    process: TorchServeProcess,
) -> None:
    assert process.template is not None
    await process.start()
    process.template.address.touch()
    (process.folder / "inference.sock").touch()
    process.kill()
    await process.wait()
    await process.start()
    try:
        assert process.template.address.exists()
        assert not (process.folder / "inference.sock").exists()
    finally:
        await process.stop()


@pytest.fixture
def plain(settings: Settings) -> TorchServeProcess:
    """One whose workers are not forked."""
    chosen = msgspec.structs.replace(settings, worker_template=False)
    return TorchServeProcess(chosen, find_java_home())


async def test_a_setting_has_all_workers_started_by_python(plain: TorchServeProcess) -> None:
    assert plain.template is None
    await plain.start()
    try:
        assert plain.pid is not None
        command = psutil.Process(plain.pid).cmdline()
        variables = await _variables_of(plain.pid)
    finally:
        await plain.stop()
    assert str(LAUNCHER) in command
    assert "WORKER_TEMPLATE_SOCKET" not in variables


@pytest.fixture
def with_compiler(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TorchServeProcess:
    monkeypatch.setenv("CC", "/usr/bin/gcc-12")
    monkeypatch.setenv("TRITON_PTXAS_PATH", "/opt/ptxas")
    monkeypatch.setenv("SIDECAR_JWT_SECRET", "x" * 32)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # torch sets it for itself
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    return TorchServeProcess(settings, find_java_home())


async def test_compiled_code_is_kept_between_starts(
    with_compiler: TorchServeProcess, tmp_path: Path
) -> None:
    """The temporary folder is new at every start, and was where the cache lay."""
    await with_compiler.start()
    try:
        assert with_compiler.pid is not None
        variables = await _variables_of(with_compiler.pid)
    finally:
        await with_compiler.stop()
    assert Path(variables["TORCHINDUCTOR_CACHE_DIR"]) == tmp_path / "compiled"
    assert Path(variables["TRITON_CACHE_DIR"]).parent == tmp_path / "compiled"
    assert await asyncio.to_thread((tmp_path / "compiled").is_dir)
    assert (variables["CC"], variables["TRITON_PTXAS_PATH"]) == ("/usr/bin/gcc-12", "/opt/ptxas")
    assert "SIDECAR_JWT_SECRET" not in variables


def test_workers_see_the_variables_that_the_operator_names_and_never_ours() -> None:
    environ = {"HOME": "/root", "MY_KEY": "1", "MY_OTHER": "2", "YOURS": "3", "SIDECAR_HOST": "::"}
    assert allowed_environment(environ, ()) == {"HOME": "/root"}
    seen = allowed_environment(environ, ("MY_*", "YOURS"))
    assert seen == {"HOME": "/root", "MY_KEY": "1", "MY_OTHER": "2", "YOURS": "3"}
    assert "SIDECAR_HOST" not in allowed_environment(environ, ("*",))


@pytest.fixture
def with_hub(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TorchServeProcess:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    named = msgspec.structs.replace(settings, worker_variables=("HF_HUB_*",))
    return TorchServeProcess(named, find_java_home())


async def test_torchserve_finds_the_torchrun_of_its_own_environment(
    process: TorchServeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts the workers of archives with `torchrun` in their model-config.yaml by that name."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as of a service, in which nothing is activated
    await process.start()
    try:
        assert process.pid is not None
        variables = await _variables_of(process.pid)
    finally:
        await process.stop()
    folder, *others = variables["PATH"].split(":")
    assert (folder, others[:2]) == (str(Path(sys.executable).parent), ["/usr/bin", "/bin"])


async def test_a_named_variable_lets_handlers_use_a_hub(with_hub: TorchServeProcess) -> None:
    await with_hub.start()
    try:
        assert with_hub.pid is not None
        variables = await _variables_of(with_hub.pid)
    finally:
        await with_hub.stop()
    assert variables["HF_HUB_OFFLINE"] == "0"
    assert variables["TRANSFORMERS_OFFLINE"] == "1"


async def _variables_of(pid: int) -> dict[str, str]:
    """The environment of a process that may be about to begin: it is empty until it has."""
    process = psutil.Process(pid)
    return await until_awaited(lambda: asyncio.to_thread(process.environ))


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
