from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rusts.metrics import MAX_CHILDREN, Histogram, Registry, Sample


def values(registry: Registry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(registry.text().decode())
        for sample in family.samples
        if not family.name.startswith("process_")
    }


def test_counters_gauges_and_sources():
    registry = Registry()
    counter = registry.counter("rusts_x", "Xs", ("kind",))
    counter.labels("a").add()
    counter.labels("a").add(4)
    gauge = registry.gauge("rusts_g", "G").labels()
    gauge.set(2.5)
    gauge.add(-1)
    registry.source(lambda: [Sample("rusts_s_bytes", "S", [(("hot",), 7)], labels=("tier",))])
    registry.source(lambda: [Sample("rusts_c", "C", [((), 8)], kind="counter")])
    registry.counter("rusts_never", "Never counted", ("kind",))
    assert values(registry) == {
        ("rusts_x_total", (("kind", "a"),)): 5,
        ("rusts_g", ()): 1.5,
        ("rusts_s_bytes", (("tier", "hot"),)): 7,
        ("rusts_c_total", ()): 8,
    }
    assert "# TYPE rusts_never_total counter" in registry.text().decode()


def test_histogram_buckets_are_cumulative():
    registry = Registry()
    histogram = registry.histogram("rusts_h_seconds", "H", bounds=(0.1, 1.0)).labels()
    for value in (0.05, 0.1, 0.5, 5.0):
        histogram.observe(value)
    found = values(registry)
    assert found["rusts_h_seconds_bucket", (("le", "0.1"),)] == 2
    assert found["rusts_h_seconds_bucket", (("le", "1.0"),)] == 3
    assert found["rusts_h_seconds_bucket", (("le", "+Inf"),)] == 4
    assert found["rusts_h_seconds_count", ()] == 4
    assert found["rusts_h_seconds_sum", ()] == pytest.approx(5.65)


def test_a_value_on_a_bound_is_at_most_it():
    histogram = Histogram((1.0, 2.0))
    histogram.observe(1.0)
    assert histogram.counts == [1, 0, 0]


def test_label_sets_are_bounded():
    registry = Registry()
    family = registry.counter("rusts_x", "Xs", ("a", "b"))
    for i in range(MAX_CHILDREN + 50):
        family.labels(str(i), "y").add()
    assert len(family.children()) == MAX_CHILDREN + 1
    assert family.labels("other", "other").value == 50
    assert family.labels("0", "y").value == 1


def test_label_values_are_escaped():
    registry = Registry()
    registry.counter("rusts_x", "Xs", ("a",)).labels('q"\n\\').add()
    assert values(registry) == {("rusts_x_total", (("a", 'q"\n\\'),)): 1}


def test_a_name_is_given_once():
    registry = Registry()
    registry.gauge("rusts_x", "X")
    with pytest.raises(ValueError, match="rusts_x is there already"):
        registry.counter("rusts_x", "X")
