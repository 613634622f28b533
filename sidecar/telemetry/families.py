"""Families of metrics: counters and histograms cheap to update, and values read at a scrape.

The client library's own take a lock for every observation; these are used by one event loop only.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

Kind = Literal["counter", "gauge", "histogram", "summary"]
Labels = tuple[str, ...]


class FamilyDescription(NamedTuple):
    """The name of a family, its labels, and its meaning in one sentence."""

    kind: Kind
    name: str  # as scraped, without the suffixes of histograms and summaries
    meaning: str
    labels: Labels = ()


class Family(Collector):
    """A family of metrics, which a registry collects."""

    def __init__(self, description: FamilyDescription) -> None:
        self.description = description


class Counter(Family):
    """Increasing values, one for each combination of labels."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(FamilyDescription("counter", name, meaning, labels))
        self._values: dict[Labels, float] = {}

    def expect(self, *labels: str) -> None:
        """Begin the series of *labels* at 0: a new series does not count as an increase."""
        self._values.setdefault(labels, 0)

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add *amount* to the series of *labels*."""
        self._values[labels] = self._values.get(labels, 0) + amount

    def collect(self) -> Iterable[Metric]:
        """Yield the family."""
        _, name, meaning, labels = self.description
        family = CounterMetricFamily(name, meaning, labels=labels)
        for values, count in self._values.items():
            family.add_metric(values, count)
        yield family


class Series:
    """The observations of one combination of labels."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Add one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Labels) -> None:
        """Add the cumulative counts to *family*."""
        names = [*(f"{float(bound)}" for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        family.add_metric(labels, buckets, self._sum)


class Histogram(Family):
    """Observations in buckets.  *bounds* are their upper limits, ascending."""

    def __init__(self, name: str, meaning: str, *labels: str, bounds: Sequence[float]) -> None:
        super().__init__(FamilyDescription("histogram", name, meaning, labels))
        self._bounds = bounds
        self._series: dict[Labels, Series] = {}

    def of(self, *labels: str) -> Series:
        """Return the series of *labels*."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = Series(self._bounds)
        return series

    def collect(self) -> Iterable[Metric]:
        """Yield the family."""
        _, name, meaning, labels = self.description
        family = HistogramMetricFamily(name, meaning, labels=labels)
        for values, series in self._series.items():
            series.add_to(family, values)
        yield family


class Sample(NamedTuple):
    """The value of one combination of labels at a scrape."""

    labels: Labels
    value: float


class SummarySample(NamedTuple):
    """The number of events, and the sum of their measurements."""

    labels: Labels
    events: int
    total: float


class Reading(Family):
    """A gauge or a counter whose value is kept elsewhere: *read* is called at each scrape."""

    def __init__(
        self,
        kind: Literal["counter", "gauge"],
        name: str,
        meaning: str,
        *labels: str,
        read: Callable[[], Iterable[Sample]],
    ) -> None:
        super().__init__(FamilyDescription(kind, name, meaning, labels))
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield the family."""
        kind, name, meaning, labels = self.description
        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        family = kinds[kind](name, meaning, labels=labels)
        for values, value in self._read():
            family.add_metric(values, value)
        yield family


class Summary(Family):
    """Counts and sums that are kept elsewhere: *read* is called at each scrape."""

    def __init__(
        self, name: str, meaning: str, *labels: str, read: Callable[[], Iterable[SummarySample]]
    ) -> None:
        super().__init__(FamilyDescription("summary", name, meaning, labels))
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield the family."""
        _, name, meaning, labels = self.description
        family = SummaryMetricFamily(name, meaning, labels=labels)
        for values, events, total in self._read():
            family.add_metric(values, events, total)
        yield family
