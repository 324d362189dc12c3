from __future__ import annotations

import pytest

from rusts.model.time import format_duration


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (11_000, "11µs"),
        (1_500, "1.5µs"),
        (1_000_001, "1.000001ms"),
        (1_500_000_000, "1.5s"),
        (90_500_000_000, "1m30.5s"),
        (3_600_000_000_000, "1h0m0s"),
        (604_800_000_000_000, "168h0m0s"),
        (-90_000_000_000, "-1m30s"),
    ],
)
def test_durations_as_go_prints_them(ns: int, text: str):
    assert format_duration(ns) == text
