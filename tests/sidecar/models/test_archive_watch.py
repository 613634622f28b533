"""When an archive counts as written anew."""

from sidecar.catalog.model_store import ArchiveMark
from sidecar.models.reconciler import ArchiveWatch

OLD, HALF, NEW = ArchiveMark(1, 100), ArchiveMark(2, 50), ArchiveMark(3, 200)


def test_an_archive_counts_as_changed_once_its_new_file_is_stable() -> None:
    watch = ArchiveWatch()
    seen = [OLD, OLD, HALF, NEW, NEW, NEW, OLD, OLD]
    assert [watch.has_changed("model", mark) for mark in seen] == [
        False,
        False,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_an_archive_that_is_gone_has_not_changed() -> None:
    watch = ArchiveWatch()
    assert [watch.has_changed("model", mark) for mark in (OLD, None, None)] == [False] * 3
