"""Counters, gauges and histograms as plain objects, and their text for Prometheus.

An object is made once and held where it is used: counting costs one addition. A family with
labels makes one object per set of label values, at most `MAX_CHILDREN` of them; what comes later is
counted under "other", so that a client cannot fill the memory with names.

Additions are not locked: in CPython no other thread runs between the load and the store of
``self.value += n``. A lost count in another interpreter would cost a figure, never data.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

__all__ = ["LATENCY_BOUNDS", "MAX_CHILDREN", "Counter", "Family", "Gauge", "Histogram", "Registry", "Sample"]

MAX_CHILDREN: Final = 1_000
"""Sets of label values that one family keeps apart."""

LATENCY_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, in seconds, of the buckets of a latency histogram."""

_OTHER: Final = "other"


class Counter:
    """Counts up."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, n: int = 1) -> None:
        """Count `n` more."""
        self.value += n


class Gauge:
    """Goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        """It is `value` now."""
        self.value = value

    def add(self, n: float) -> None:
        """It is `n` more than it was."""
        self.value += n


class Histogram:
    """Counts values by size: `counts[i]` of them were at most `bounds[i]`, and more than the bound before."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


_M = TypeVar("_M", Counter, Gauge, Histogram)


class Family(Generic[_M]):
    """Metrics of one name, one for each set of label values."""

    def __init__(self, kind: str, name: str, help: str, labels: tuple[str, ...], make: Callable[[], _M]) -> None:
        self.kind = kind
        self.name = name
        self.help = help
        self.label_names = labels
        self._make: Callable[[], _M] = make
        self._children: dict[tuple[str, ...], _M] = {}
        self._lock = threading.Lock()

    def labels(self, *values: str) -> _M:
        """The metric of these label values, in the order of the label names."""
        child = self._children.get(values)
        if child is not None:
            return child
        with self._lock:
            if len(self._children) >= MAX_CHILDREN:
                values = (_OTHER,) * len(self.label_names)
            return self._children.setdefault(values, self._make())

    def children(self) -> list[tuple[tuple[str, ...], _M]]:
        """Every set of label values with its metric."""
        with self._lock:
            return list(self._children.items())


class Sample:
    """A figure that is asked for when metrics are read: name, help, kind, labels and values.

    `kind` is "counter" or "gauge"; `values` gives (label values, number) pairs.
    """

    __slots__ = ("help", "kind", "labels", "name", "values")

    def __init__(
        self,
        name: str,
        help: str,
        values: Iterable[tuple[tuple[str, ...], float]],
        *,
        kind: str = "gauge",
        labels: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.labels = labels
        self.values = values


class Registry:
    """Every metric of one server. Names begin with ``rusts_`` and end with their unit, counters with ``_total``."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Any]] = {}
        self._sources: list[Callable[[], Iterable[Sample]]] = []

    def counter(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Family[Counter]:
        """A family of counters; `name` comes without ``_total``."""
        return self._add(Family("counter", name, help, labels, Counter))

    def gauge(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Family[Gauge]:
        """A family of gauges."""
        return self._add(Family("gauge", name, help, labels, Gauge))

    def histogram(
        self, name: str, help: str, labels: tuple[str, ...] = (), bounds: Sequence[float] = LATENCY_BOUNDS
    ) -> Family[Histogram]:
        """A family of histograms."""
        return self._add(Family("histogram", name, help, labels, lambda: Histogram(bounds)))

    def source(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Ask `samples` for figures whenever metrics are read."""
        self._sources.append(samples)

    def text(self) -> bytes:
        """All of it, and the process' own figures, in Prometheus' text form, version 0.0.4."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self._metrics))
        ProcessCollector(registry=registry)
        return generate_latest(registry)

    def _add(self, family: Family[_M]) -> Family[_M]:
        if family.name in self._families:
            raise ValueError(f"metric {family.name} is there already")
        self._families[family.name] = family
        return family

    def _metrics(self) -> Iterator[Metric]:
        for family in self._families.values():
            yield _family_metric(family)
        for source in self._sources:
            for sample in source():
                kind = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
                metric = kind(sample.name, sample.help, labels=sample.labels)
                for labels, value in sample.values:
                    metric.add_metric(labels, value)
                yield metric


class _Collector(Collector):
    """What prometheus-client asks for metrics."""

    def __init__(self, metrics: Callable[[], Iterator[Metric]]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics()


def _family_metric(family: Family[Any]) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
        for labels, child in family.children():
            histogram.add_metric(labels, list(_buckets(child)), child.total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.label_names)
    for labels, child in family.children():
        metric.add_metric(labels, child.value)
    return metric


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float]]:
    """Prometheus' cumulative buckets: how many values were at most each bound."""
    seen = 0
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        seen += count
        yield bound, seen
