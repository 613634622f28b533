"""How often the caches had the answer."""


class Lookups:
    """Hits and misses since the start; each counts in *whole* too, which is of several caches."""

    def __init__(self, whole: "Lookups | None" = None) -> None:
        self._whole = whole
        self.hits = 0
        self.misses = 0

    def count(self, *, hit: bool) -> None:
        """Count one lookup; an answer that was being computed for somebody else is a hit too."""
        if hit:
            self.hits += 1
        else:
            self.misses += 1
        if self._whole is not None:
            self._whole.count(hit=hit)

    @property
    def hit_rate(self) -> float | None:
        """0-1; None before the first lookup."""
        total = self.hits + self.misses
        return self.hits / total if total else None
