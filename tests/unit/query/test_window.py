"""Time buckets against the calendar and the clocks of zones, as InfluxDB 1.6.7 has them."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from rusts import errors
from rusts.model.store import TimeRange, Window
from rusts.query.limits import Limits, Tracker
from rusts.query.plan import AnyWindow, CalendarWindow
from rusts.query.window import Buckets, begin_of, bucket_of, span_buckets

SEED = int(os.environ.get("RUSTS_SEED", random.SystemRandom().randrange(1 << 32)))
MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("window", "time", "begin"),
    [
        (Window(10), 0, 0),
        (Window(10), 9, 0),
        (Window(10), 10, 10),
        (Window(10), -1, -10),
        (Window(10, 3), 2, -7),
        (Window(10, 3), 3, 3),
        (Window(10, -4), 5, -4),
        (Window(10, -4), 6, 6),
        (Window(10, 61), 0, -9),
        (Window(3_600_000_000_000), 1_451_606_399_999_999_999, 1_451_602_800_000_000_000),
    ],
)
def test_buckets(window: Window, time: int, begin: int) -> None:
    assert begin_of(time, window) == begin
    assert bucket_of(np.array([time], dtype=np.int64), window).tolist() == [begin]


def test_how_many_buckets_a_range_touches() -> None:
    assert span_buckets(TimeRange(5, 25), Window(10)) == 3
    assert span_buckets(TimeRange(0, 10), Window(10)) == 1
    assert span_buckets(TimeRange(5, 5), Window(10)) in (0, 1)


def counted(window: AnyWindow, zone: str | None, first: str, last: str) -> list[tuple[str, int]]:
    """The buckets of every quarter of an hour: when each begins (UTC) and how many quarters it has."""
    times = np.arange(ns(first), ns(last), 15 * MINUTE)
    begins, counts = np.unique(Buckets(window, zone).of(times), return_counts=True)
    texts = [datetime.fromtimestamp(begin / 1e9, UTC).strftime("%d %H:%M") for begin in begins.tolist()]
    return list(zip(texts, counts.tolist(), strict=True))


# Recorded from InfluxDB 1.6.7 with tz('Europe/Berlin'), where clocks go from 02:00 to 03:00 at 01:00 UTC of the 28th of
# March 2021 and from 03:00 to 02:00 at 01:00 UTC of the 31st of October.


@pytest.mark.parametrize(
    ("window", "first", "last", "wanted"),
    [
        (Window(DAY), "2021-03-27T20:00", "2021-03-29T04:00", [("26 23:00", 12), ("27 23:00", 92), ("28 22:00", 24)]),
        (Window(DAY), "2021-10-30T20:00", "2021-11-01T04:00", [("29 22:00", 8), ("30 22:00", 100), ("31 23:00", 20)]),
        (Window(2 * HOUR), "2021-03-27T23:00", "2021-03-28T04:00", [("27 23:00", 8), ("28 01:00", 4), ("28 02:00", 8)]),
        (
            Window(2 * HOUR),
            "2021-10-30T22:00",
            "2021-10-31T05:00",
            [("30 22:00", 8), ("31 00:00", 12), ("31 03:00", 8)],
        ),
        (Window(HOUR), "2021-10-31T00:00", "2021-10-31T03:00", [("31 00:00", 4), ("31 01:00", 4), ("31 02:00", 4)]),
        (Window(DAY, 6 * HOUR), "2021-03-27T20:00", "2021-03-29T04:00", [("27 05:00", 36), ("28 05:00", 92)]),
        (Window(DAY, 6 * HOUR), "2021-10-30T20:00", "2021-11-01T04:00", [("30 04:00", 32), ("31 04:00", 96)]),
    ],
)
def test_buckets_by_a_clock_that_is_changed(
    window: Window, first: str, last: str, wanted: list[tuple[str, int]]
) -> None:
    assert counted(window, "Europe/Berlin", first, last) == wanted


def test_calendar_buckets() -> None:
    months = counted(CalendarWindow(1), None, "2024-01-31", "2024-03-02")
    assert months == [("01 00:00", 96), ("01 00:00", 29 * 96), ("01 00:00", 96)]
    begin = Buckets(CalendarWindow(3), "America/New_York").begin
    assert begin(ns("2021-06-30T23:59")) == ns("2021-04-01T04:00")
    assert begin(ns("2021-01-01T04:59")) == ns("2020-10-01T04:00")
    assert Buckets(CalendarWindow(12, 5 * HOUR)).begin(ns("2021-01-01T04:59")) == ns("2020-01-01T05:00")
    assert Buckets(CalendarWindow(1)).begin(-1) == ns("1969-12-01")


def test_zones_without_changes_are_plain_windows() -> None:
    assert Buckets(Window(HOUR), "UTC").fixed == Window(HOUR, 0)
    assert Buckets(Window(HOUR), "Europe/Berlin").fixed is None
    with pytest.raises(errors.InvalidRequest, match="unable to find time zone Nowhere/Land"):
        Buckets(Window(HOUR), "Nowhere/Land")


ZONES = [None, "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
WINDOWS: list[AnyWindow] = [
    *(Window(length, offset) for length in (20 * MINUTE, HOUR, 5 * HOUR, DAY, 7 * DAY) for offset in (0, 7 * MINUTE)),
    *(CalendarWindow(months, offset) for months in (1, 3, 12) for offset in (0, HOUR)),
]


def test_every_time_is_in_its_bucket_and_in_one_piece() -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    for _ in range(150):
        window, zone = rng.choice(WINDOWS), rng.choice(ZONES)
        buckets = Buckets(window, zone)
        low = ns("1999-01-01") + rng.randrange(8000 * 24) * HOUR + rng.randrange(HOUR)
        high = low + rng.choice([HOUR, 3 * DAY, 200 * DAY, 400 * DAY])
        if buckets.length < HOUR:
            high = min(high, low + 60 * DAY)
        times = np.sort(np.array([rng.randrange(low, high) for _ in range(60)], dtype=np.int64))
        begins = buckets.of(times)
        context = f"{window} {zone} {low} {high}"
        assert bool((begins <= times).all()), context
        assert bool((buckets.end(begins) > times).all()), context
        assert bool((buckets.of(begins) == begins).all()), context
        assert bool((np.diff(begins) >= 0).all()), context
        grid = buckets.grid(int(begins[0]), int(begins[-1]), Tracker())
        numbers = grid.number(begins)
        assert bool((grid.begin(numbers) == begins).all()), context
        every = grid.begin(np.arange(numbers[-1] + 1))
        assert buckets.end(every[:-1]).tolist() == every[1:].tolist(), context
        pieces = buckets.pieces(TimeRange(low, high), 1000)
        assert pieces is not None
        assert pieces[0][0].start == low
        assert pieces[-1][0].end == high
        assert all(a[0].end == b[0].start for a, b in pairwise(pieces)), context
        for part, plain, begin in pieces:
            inside = (times >= part.start) & (times < part.end)
            found = bucket_of(times[inside], plain) if plain is not None else np.full(int(inside.sum()), begin)
            assert found.tolist() == begins[inside].tolist(), f"{context} {part}"


def test_a_bucket_that_a_change_cuts_short_is_in_the_grid() -> None:
    # From 03:00 UTC until the clocks of New York are put forward at 07:00: no step of five hours need fall into it.
    buckets = Buckets(Window(5 * HOUR), "America/New_York")
    short = ns("2014-03-09") + 3 * HOUR
    first, last = buckets.begin(ns("2014-02-01") + HOUR), buckets.begin(ns("2014-04-01"))
    for back in range(300):
        begin = buckets.begin(first - back * MINUTE)
        grid = buckets.grid(begin, last, Tracker())
        numbers = grid.number(np.array([short, last], dtype=np.int64))
        every = grid.begin(np.arange(numbers[1] + 1))
        assert short in every
        assert buckets.end(every[:-1]).tolist() == every[1:].tolist()


def test_a_day_begins_at_midnight_of_the_zone() -> None:
    rng = random.Random(SEED)
    zone = ZoneInfo("America/New_York")
    buckets = Buckets(Window(DAY), "America/New_York")
    for _ in range(200):
        time = ns("1990-01-01") + rng.randrange(15_000 * 24) * HOUR
        local = datetime.fromtimestamp(time // 1_000_000_000, zone)
        midnight = local.replace(hour=0, minute=0, second=0, fold=0)
        assert buckets.begin(time) == int(midnight.timestamp()) * 1_000_000_000, local


def test_too_many_buckets_are_not_made() -> None:
    tracker = Tracker(Limits(buckets=1000))
    with pytest.raises(errors.LimitExceeded, match="max-select-buckets"):
        Buckets(Window(HOUR), "Europe/Berlin").grid(0, ns("2020-01-01"), tracker)
    assert Buckets(CalendarWindow(1)).pieces(TimeRange(0, ns("2020-01-01")), 64) is None
