from __future__ import annotations

import os
import random

import pytest

from rusts.model.changes import Changes

SEED = int(os.environ.get("RUSTS_SEED", "7"))


def test_nothing_changed_since_the_latest_version():
    changes = Changes()
    assert changes.since(0) is None
    changes.note(5)
    assert changes.since(0) == 5
    assert changes.since(changes.version) is None


def test_a_later_change_does_not_hide_an_earlier_time():
    changes = Changes()
    for low in (10, 20, 15):
        changes.note(low)
    assert [changes.since(version) for version in range(4)] == [10, 15, 15, None]


@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_the_earliest_time_is_never_told_too_late(seed: int):
    rng = random.Random(seed)
    changes = Changes()
    lows: list[int] = []
    for _ in range(3000):
        # Mostly rising, as times are, so that the notes pass what is kept apart.
        lows.append(len(lows) * 10 - (rng.randrange(2000) if rng.random() < 0.05 else 0))
        changes.note(lows[-1])
    for version in rng.sample(range(len(lows)), 200):
        told = changes.since(version)
        assert told is not None
        assert told <= min(lows[version:])
    assert len(changes._lows) <= 512
    assert changes.since(len(lows) - 3) == min(lows[-3:])
