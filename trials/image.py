"""The Dockerfile, built and run without Docker.

    scripts/try_image [--torch-index-url URL] [--compiler PACKAGES] [--folder FOLDER]

The base image is made by debootstrap and gets the name that FROM has.  buildah builds with chroot
isolation; the image then runs as its own user with all read-only but /app/var and /tmp.  Prints a
table; exits with 1 if something is not as docs/operations.md says.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trials.machines import free_port
from trials.requests import Failed, converse, is_ready, send, wait_for
from trials.roots import PASSED_ON, SOURCE, Root, folders_of_pip
from trials.table import markdown

BASE = "docker.io/library/python:3.11-slim-bookworm"  # as FROM names it
IMAGE = "localhost/torchserve-sidecar:trial"
BASE_PACKAGES = ("python3-venv", "python3-dev")  # the real base has Python's headers too
START_SECONDS = 600
DRAIN_SECONDS = 300  # for the sentences in flight, also on a busy machine
STOP_SECONDS = DRAIN_SECONDS + 60
MOUNTS = """
mount --bind "$ROOT" "$ROOT"
mount --bind "$STATE" "$ROOT/app/var"
mount -t tmpfs -o mode=1777 tmp "$ROOT/tmp"
mount -o remount,bind,ro "$ROOT"
for kernel in proc sys dev; do mount --rbind "/$kernel" "$ROOT/$kernel"; done
exec "$@"
"""


def main(arguments: Sequence[str]) -> int:
    """Build and run the image, and print the table.  Return 0 if all went well, else 1."""
    parser = argparse.ArgumentParser(description="Build the Dockerfile and run the image.")
    parser.add_argument("--torch-index-url", default=os.environ.get("TORCH_INDEX_URL", ""))
    parser.add_argument("--compiler", default="", help="as “g++”: goes into the image")
    parser.add_argument("--folder", help="where all is made (it needs 20 GB); it stays")
    options = parser.parse_args(arguments)
    facts = {"": "Image"}
    well = True
    with tempfile.TemporaryDirectory(prefix="image-") as temporary:
        folder = Path(options.folder or temporary).resolve()
        try:
            trial(folder, options.torch_index_url, options.compiler, facts)
        except (Failed, subprocess.SubprocessError) as exc:
            print(f"image: {exc}", file=sys.stderr)
            well = False
    print(markdown([facts]))
    return 0 if well else 1


def trial(folder: Path, torch_index_url: str, compiler: str, facts: dict[str, str]) -> None:
    """Build the image in *folder*, run it and stop it; what is found goes into *facts*.

    Raises Failed and SubprocessError.
    """
    builder = Builder(folder / "storage")
    make_base(builder, folder / "base")
    start = time.monotonic()
    builder.build(torch_index_url, compiler)
    facts["`Dockerfile`"] = f"built in {time.monotonic() - start:.0f} s"
    with builder.mounted() as (root, config):
        facts["Size, the base included"] = f"{size_mb(root) / 1024:.1f} GB"
        container = Container(root, config, folder / "state")
        facts["Base"] = container.says("sed -n 's/^PRETTY_NAME=\"\\(.*\\)\"/\\1/p' /etc/os-release")
        facts["torch"] = container.says(
            ".venv/bin/python -c 'import torch; print(torch.__version__)'"
        )
        facts["C compiler"] = container.says("g++ -dumpfullversion") or "none: torch.compile is off"
        facts["Labels"] = ", ".join(
            sorted(name.removeprefix("org.opencontainers.image.") for name in config["Labels"])
        )
        facts["User"] = container.says("id -u")
        facts["Can be written, by permissions alone"] = writable(container, read_only=False)
        facts["Can be written, the root file system read-only"] = writable(container)
        facts.update(use(container))


def use(container: "Container") -> dict[str, str]:
    """Run the image, talk to it, and stop it in the midst of a request.  Raises Failed."""
    port = free_port()
    process = container.start(
        {"SIDECAR_PORT": str(port), "SIDECAR_DRAIN_SECONDS": str(DRAIN_SECONDS)}
    )
    url = f"http://127.0.0.1:{port}"
    found: dict[str, str] = {}

    def ready() -> bool:
        if process.poll() is not None:
            raise Failed(f"the image ended with exit code {process.returncode}")
        return is_ready(url)

    try:
        found["Ready"] = f"after {wait_for(ready, 'the image is not ready', START_SECONDS):.0f} s"
        found["predicted, spoke, heard"] = f"“{converse(url)}”"
        found["`HEALTHCHECK`"] = health(container, port)
        status, body = send(f"{url}/", headers={"Host": "model.example"})
        if status != 403 or b"SIDECAR_ALLOWED_HOSTS" not in body:
            raise Failed(f"a foreign Host: expected a 403 that names the setting, got {body!r}")
        found["A `Host` that it does not know"] = "403, which names the setting"
        found["SIGTERM"] = stop(process, url)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return found


def stop(process: "subprocess.Popen[bytes]", url: str) -> str:
    """Send SIGTERM while a long sentence is being spoken: it must be answered.  Raises Failed."""
    text = {"text": "One sentence follows another here, and every one must be spoken. " * 12}
    status: list[int] = []
    speaking = threading.Thread(
        target=lambda: status.append(send(f"{url}/synthesize", text, {"Accept": "audio/*"})[0])
    )
    speaking.start()
    wait_for(
        lambda: b"sidecar_in_flight{" in busy(url), "the sentence is not in flight", START_SECONDS
    )
    process.send_signal(signal.SIGTERM)
    seconds = wait_for(lambda: process.poll() is not None, "SIGTERM", STOP_SECONDS)
    speaking.join()
    if status != [200] or process.returncode != 0:
        raise Failed(f"SIGTERM: the request got {status}, the exit code was {process.returncode}")
    return f"the request in flight was answered; exit code 0 after {seconds:.0f} s"


def busy(url: str) -> bytes:
    """Return the line of the metrics that tells of a job of the voice in flight; else nothing."""
    for line in send(f"{url}/metrics")[1].splitlines():
        if line.startswith(b'sidecar_in_flight{model="hibari_tts"') and not line.endswith(b" 0.0"):
            return line
    return b""


def health(container: "Container", port: int) -> str:
    """Run the image's HEALTHCHECK as a container engine would.  Raises Failed."""
    kind, *command = container.config["Healthcheck"]["Test"]
    variables = {"SIDECAR_PORT": str(port)}
    if kind != "CMD" or container.run(command, variables).returncode != 0:
        raise Failed(f"HEALTHCHECK: {command} failed on a server that is ready")
    if container.run(command, {"SIDECAR_PORT": str(free_port())}).returncode == 0:
        raise Failed("HEALTHCHECK: it is content where nothing listens")
    return "succeeds; fails if nothing listens"


def writable(container: "Container", *, read_only: bool = True) -> str:
    """Return the folders that the image's user can write to."""
    command = "find / -xdev -type d -writable -not -path '/proc/*' 2>/dev/null"
    return container.says(command, read_only=read_only).replace("\n", ", ")


class Builder:
    """buildah with a storage of its own."""

    def __init__(self, storage: Path) -> None:
        self._command = [
            "buildah",
            "--storage-driver",
            "vfs",
            "--root",
            str(storage),
            "--runroot",
            f"{storage}-run",
        ]

    def run(self, *arguments: str) -> str:
        """Return what buildah prints for *arguments*.  Raises CalledProcessError."""
        said = subprocess.run(
            [*self._command, *arguments], stdout=subprocess.PIPE, text=True, check=True
        )
        return said.stdout.strip()

    def build(self, torch_index_url: str, compiler: str) -> None:
        """Build the Dockerfile as IMAGE."""
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=SOURCE, stdout=subprocess.PIPE, text=True, check=False
        ).stdout.strip()
        arguments = {
            "TORCH_INDEX_URL": torch_index_url,
            "COMPILER": compiler,
            "REVISION": revision,
        }
        # The format of Docker's images: OCI's has no HEALTHCHECK.
        command = ["build", "--isolation=chroot", "--format=docker", "--pull=false", "--tag", IMAGE]
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        for path in folders_of_pip():
            command += ["--volume", f"{path}:{path}:ro"]
        self.run(*command, str(SOURCE))

    @contextmanager
    def mounted(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield the image's files and its configuration."""
        name = self.run("from", "--pull=false", IMAGE)
        try:
            config = json.loads(self.run("inspect", IMAGE))["Docker"]["config"]
            yield Path(self.run("mount", name)), config
        finally:
            self.run("rm", name)


def make_base(builder: Builder, folder: Path) -> None:
    """Make the image that FROM names: Debian 12 with its own Python."""
    if BASE in builder.run("images", "--noheading", "--format", "{{.Name}}:{{.Tag}}").split():
        return
    root = Root(folder)
    root.install("bookworm", BASE_PACKAGES)
    root.run("apt-get", "clean")
    name = builder.run("from", "scratch")
    builder.run("add", "--quiet", name, str(folder), "/")
    # What this machine's pip is told by variables, the builds on this base are told too.
    for variable, value in os.environ.items():
        if PASSED_ON.fullmatch(variable):
            builder.run("config", "--env", f"{variable}={value}", name)
    builder.run("commit", "--quiet", "--rm", name, BASE)
    shutil.rmtree(folder)


class Container:
    """The image's files, run as its user with its environment; *state* is its volume."""

    def __init__(self, root: Path, config: dict[str, Any], state: Path) -> None:
        self.config = config
        self._root = root
        self._state = state
        user = int(config["User"])
        state.mkdir(mode=0o700, exist_ok=True)
        os.chown(state, user, user)

    def start(self, variables: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start the image's ENTRYPOINT; signals to the process reach it."""
        command = self._enter(self.config["Entrypoint"], variables, read_only=True)
        return subprocess.Popen(command, start_new_session=True)

    def run(
        self, command: Sequence[str], variables: dict[str, str], *, read_only: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run *command* in it, and return how it ended and what it said."""
        return subprocess.run(
            self._enter(command, variables, read_only=read_only),
            capture_output=True,
            text=True,
            check=False,
        )

    def says(self, command: str, *, read_only: bool = True) -> str:
        """Return what *command*, a line of shell, prints in it."""
        return self.run(["sh", "-c", command], {}, read_only=read_only).stdout.strip()

    def _enter(
        self, command: Sequence[str], variables: dict[str, str], *, read_only: bool
    ) -> list[str]:
        user = self.config["User"]
        assignments = [
            *self.config["Env"],
            *(f"{name}={value}" for name, value in variables.items()),
        ]
        line = f"cd {self.config['WorkingDir']}; exec {shlex.join(command)}"
        mounts = MOUNTS if read_only else MOUNTS.replace('mount -o remount,bind,ro "$ROOT"\n', "")
        return [
            "env",
            f"ROOT={self._root}",
            f"STATE={self._state}",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            mounts,
            "sh",
            "chroot",
            f"--userspec={user}:{user}",
            str(self._root),
            "env",
            "--ignore-environment",
            *assignments,
            "sh",
            "-c",
            line,
        ]


def size_mb(folder: Path) -> float:
    """Return the size of all files below *folder*, in units of 2^20 bytes."""
    command = ["du", "--summarize", "--block-size=1M", str(folder)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(said.split()[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
