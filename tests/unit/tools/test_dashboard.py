from __future__ import annotations

import random
from urllib.parse import parse_qs, urlsplit

from rusts.influxql import ast
from rusts.influxql.parser import parse
from tools import dashboard


def test_a_refresh_asks_all_panels_of_the_same_hosts_and_times() -> None:
    texts = dashboard.refresh(random.Random(1), 100, 1_451_692_800_123)
    assert len(texts) == len(dashboard.PANELS) == 12
    assert len({text[text.index("WHERE") : text.index("ms and")] for text in texts}) == 1
    for text in texts:
        (statement,) = parse(text)
        assert isinstance(statement, ast.Select)
        assert "time <= 1451692800123ms" in text


def test_no_text_comes_twice() -> None:
    requests = list(dashboard.refreshes(200, 100, 1_451_692_800_000, 60_000, seed=3))
    assert len(set(requests)) == len(requests) == 200 * len(dashboard.PANELS)
    assert requests == list(dashboard.refreshes(200, 100, 1_451_692_800_000, 60_000, seed=3))


def test_requests_are_those_of_grafana() -> None:
    head = dashboard.request("SELECT 1", "some").decode()
    assert head.endswith("\r\n\r\n")
    assert "Accept-Encoding: gzip\r\n" in head
    method, target, _ = head.split("\r\n")[0].split(" ")
    assert method == "GET"
    assert parse_qs(urlsplit(target).query) == {"db": ["some"], "epoch": ["ms"], "q": ["SELECT 1"]}
