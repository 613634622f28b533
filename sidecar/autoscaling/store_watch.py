"""Archives in the model store that were written anew.  Pure but for the looks it is given."""

from sidecar.catalog.model_store import ArchiveMark


class StoreWatch:
    """What each loaded model's archive looked like, and whether it is another one now."""

    def __init__(self) -> None:
        self._loaded: dict[str, ArchiveMark | None] = {}
        self._seen: dict[str, ArchiveMark | None] = {}

    def changed(self, key: str, mark: ArchiveMark | None) -> bool:
        """Whether the archive of *key*, which is loaded, is another, and lies still since the
        last look; said once."""
        loaded = self._loaded.setdefault(key, mark)
        still = self._seen.get(key) == mark
        self._seen[key] = mark
        if mark in (None, loaded) or not still:
            return False
        self._loaded[key] = mark
        return True
