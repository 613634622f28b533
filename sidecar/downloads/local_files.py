"""The source `local`: a model's folder, or an archive of one, below the folder in the settings.

It stands alone because each source of downloads is a module.
"""

import shutil
import stat
from pathlib import Path

from sidecar.downloads.file_names import ARCHIVES, checked_name, wanted
from sidecar.downloads.messages import DownloadFailed, DownloadSettings
from sidecar.downloads.transfer import check_disk, too_large
from sidecar.downloads.unpacking import unpack
from sidecar.settings import MB


def copy(name: str, place: DownloadSettings, target: Path) -> None:
    """Copy the files of the model *name* into *target*.  Raises DownloadFailed."""
    source = _found(name, place.local_dir)
    if source.is_file():
        if not source.name.endswith(ARCHIVES):
            raise DownloadFailed(
                f"{name}: expected a folder, or a file of one of: {', '.join(ARCHIVES)}"
            )
        unpack(source, target, place.min_free_mb, place.max_mb)
        return
    files = wanted(str(path.relative_to(source)) for path in _files(source))
    size = sum((source / each).stat().st_size for each in files)
    if size > place.max_mb * MB:
        raise too_large(place.max_mb)
    check_disk(target, place.min_free_mb, size)
    for each in files:
        (target / each).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / each, target / each, follow_symlinks=False)


def _found(name: str, local_dir: Path | None) -> Path:
    if local_dir is None:
        raise DownloadFailed("the source local is off; SIDECAR_LOCAL_MODELS_DIR names its folder")
    path = local_dir
    for part in checked_name(name).parts:
        path = path / part
        if path.is_symlink():
            raise DownloadFailed(f"{name} contains a symbolic link; links are not followed")
    if not path.exists():
        raise DownloadFailed(f"there is no {name} in the folder of local models")
    return path


def _files(folder: Path) -> list[Path]:
    """Return the files in *folder* and one level below.  Raises DownloadFailed for links."""
    found = []
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found.append(path)
        elif not stat.S_ISDIR(mode):
            raise DownloadFailed(f"{path.name} is not a regular file; only regular files are taken")
    return found
