"""A clean Debian in a folder, with this machine's ways to the package registries."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

USER_ID = 1000
HOME = Path("/home/user")
PROJECT = HOME / "project"
ENVIRONMENT = ".venv"
SOURCE = Path(__file__).resolve().parents[1]
PASSED_ON = re.compile(r"PIP_\w+|(https?|ftp|no)_proxy", re.IGNORECASE)
PIP_FILES = [Path("/etc/pip.conf"), Path("/etc/xdg/pip")]
OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")
MOUNTS = """
for kernel in proc sys dev; do mount --rbind "/$kernel" "$ROOT/$kernel"; done
for folder in $FOLDERS; do
    mkdir -p "$ROOT$folder"
    mount --bind "$folder" "$ROOT$folder"
    mount -o remount,bind,ro "$ROOT$folder"
done
exec "$@"
"""


class Root:
    """A Debian in a folder; whatever runs in it sees this machine's network and none of its files.

    What pip needs is there too: its settings, the folders that they name, the certificates that
    this machine trusts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, suite: str, packages: Sequence[str]) -> None:
        """Make the Debian *suite* with *packages* and an ordinary user."""
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates"]
        subprocess.run([*command, suite, self.folder, *_mirror()], check=True)
        for path in [*PIP_FILES, OWN_CERTIFICATES]:
            if path.exists():
                _copy(path, self.folder / path.relative_to("/"))
        shutil.copy("/etc/resolv.conf", self.folder / "etc/resolv.conf")
        (self.folder / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        self.run("update-ca-certificates")
        self.run("apt-get", "update", "-qq")
        install = ("apt-get", "install", "--yes", "-qq", "--no-install-recommends")
        self.run("env", "DEBIAN_FRONTEND=noninteractive", *install, *packages)
        self.run("useradd", "--create-home", "--uid", str(USER_ID), HOME.name)
        own_settings = Path.home() / ".config/pip/pip.conf"
        if own_settings.exists():
            _copy(own_settings, self.folder / (HOME / ".config/pip/pip.conf").relative_to("/"))

    def copy_project(self) -> None:
        """Put the files of this project into the user's home, as a clone would.

        Of an earlier copy only the environment stays.
        """
        project = self.folder / PROJECT.relative_to("/")
        for old in project.iterdir() if project.exists() else ():
            if old.name != ENVIRONMENT:
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=SOURCE,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for name in listed.decode().split("\0")[:-1]:
            _copy(SOURCE / name, project / name)
        self.run("chown", "--recursive", f"{USER_ID}:{USER_ID}", str(HOME))

    def run(self, *command: str) -> None:
        """Run *command* as root in it.  Raises CalledProcessError."""
        chroot = ["chroot", str(self.folder)]
        subprocess.run(self._enter([*chroot, *_environment("/root"), *command]), check=True)

    def says(self, command: str) -> str:
        """Return what *command*, a line of shell, prints in the user's project."""
        return subprocess.run(
            self.as_user(command), capture_output=True, text=True, check=False
        ).stdout.strip()

    def as_user(self, command: str) -> list[str]:
        """Return what runs *command*, a line of shell, as the user in the project.

        Each program replaces the one that started it: signals reach the command itself.
        """
        chroot = ["chroot", f"--userspec={USER_ID}:{USER_ID}", str(self.folder)]
        shell = ["bash", "-c", f"cd {PROJECT}; {command}"]
        return self._enter([*chroot, *_environment(str(HOME)), *shell])

    def _enter(self, command: Sequence[str]) -> list[str]:
        """Return *command* in a mount namespace of its own: the mounts end with it."""
        folders = " ".join(str(folder) for folder in folders_of_pip())
        return [
            "env",
            f"ROOT={self.folder}",
            f"FOLDERS={folders}",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            MOUNTS,
            "sh",
            *command,
        ]


def _environment(home: str) -> list[str]:
    """Return what has a command see its own variables, and of this machine's only pip's."""
    variables = {
        "HOME": home,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},
    }
    return ["env", "--ignore-environment", *(f"{key}={value}" for key, value in variables.items())]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target, follow_symlinks=False)


def _mirror() -> list[str]:
    """Return where this machine takes Debian's packages from; nothing where it is no Debian."""
    for path in [Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")]:
        if path.exists() and "debian" in Path("/etc/os-release").read_text(encoding="utf-8"):
            found = re.search(
                r"^(?:URIs:|deb)\s+(https?://\S+/debian/?)\s", path.read_text(), re.MULTILINE
            )
            if found:
                return [found[1]]
    return []


def folders_of_pip() -> Iterator[Path]:
    """Yield the folders that this machine's settings of pip name."""
    settings = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    for name in dict.fromkeys(re.findall(r"(?<![\w/:.])(?:file://)?(/[\w./+-]+)", settings)):
        # A simple index has links to the files beside it.
        folder = Path(name).parent if Path(name).name == "simple" else Path(name)
        if folder.is_dir():
            yield folder
