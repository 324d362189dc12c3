"""Freshly generated SELECTs get the same answers from rusts and from an influxd beside it.

Only with RUSTS_PROOF=1, and only where influxd is installed. The seed is printed; RUSTS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.differential.differences import explained
from tests.support.influxql_compare import difference
from tests.support.influxql_corpus import ask
from tests.support.influxql_server import Layout, RustsServer
from tools import peers
from tools.record_influxql import Peer, generated, load

COUNT = 20_000
SHOWN = 60


@pytest.mark.skipif(os.environ.get("RUSTS_PROOF") != "1", reason="needs influxd, and takes minutes")
def test_generated_statements_beside_influxd(tmp_path: Path):
    seed = int(os.environ.get("RUSTS_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    statements = generated(seed, COUNT)
    found = []
    try:
        influxd = peers.start("influxd", tmp_path / "influxd")
    except peers.PeerMissing as missing:
        pytest.skip(str(missing))
    try:
        peer = Peer(influxd)
        load(peer)
        for i, layout in enumerate(Layout):
            with RustsServer(tmp_path / layout) as server:
                server.load(layout)
                for case in statements[i :: len(Layout)]:
                    expected, actual = ask(peer, case), server.ask(case)
                    problem = difference(case, expected, actual)
                    if problem is not None and explained(case, expected, actual) is None:
                        found.append(f"{layout}: {case.statement}\n    {problem}")
    finally:
        influxd.kill()
    assert not found, f"seed {seed}: {len(found)} of {COUNT} answers differ\n" + "\n".join(found[:SHOWN])
