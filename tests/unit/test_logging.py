from __future__ import annotations

import io
import json
import logging as python_logging
from collections.abc import Iterator

import pytest

from rusts import logging


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    root = python_logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.configure()
    root.handlers[:] = handlers
    root.setLevel(level)


def configured(format: str = "logfmt", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logging.configure(format, level, stream)
    return stream


def test_logfmt_has_time_level_text_and_room():
    stream = configured()
    logging.get_logger("rusts.wal").info("a file was closed", bytes=5, name='a "b"')
    line = stream.getvalue()
    assert line.startswith("ts=2")
    assert line.endswith('lvl=info msg="a file was closed" room=rusts.wal bytes=5 name="a \\"b\\""\n')


def test_json_is_one_object_a_line():
    stream = configured("json")
    logging.get_logger("rusts.wal").warning("odd", path=b"x")
    line = json.loads(stream.getvalue())
    assert (line["lvl"], line["msg"], line["room"]) == ("warn", "odd", "rusts.wal")


def test_auto_is_logfmt_where_nobody_looks():
    stream = configured("auto")
    logging.get_logger("rusts.wal").info("x")
    assert "lvl=info" in stream.getvalue()


def test_auto_is_for_people_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    logging.configure("auto", "info", stream)
    logging.get_logger("rusts.wal").info("a file was closed", bytes=5)
    assert "a file was closed" in stream.getvalue()
    assert "lvl=" not in stream.getvalue()


def test_levels_are_per_room_and_the_longest_prefix_wins():
    stream = configured(level="warn,rusts.wal=debug,rusts::wal::sync=trace")
    for room in ("rusts.api", "rusts.wal", "rusts.wal.sync", "rusts.walrus"):
        log = logging.get_logger(room)
        for level in ("trace", "debug", "info", "warning", "error"):
            getattr(log, level)("x")
    said = [tuple(part.partition("=")[2] for part in line.split()[1:4:2]) for line in stream.getvalue().splitlines()]
    assert said == [
        ("warn", "rusts.api"),
        ("error", "rusts.api"),
        ("debug", "rusts.wal"),
        ("info", "rusts.wal"),
        ("warn", "rusts.wal"),
        ("error", "rusts.wal"),
        ("trace", "rusts.wal.sync"),
        ("debug", "rusts.wal.sync"),
        ("info", "rusts.wal.sync"),
        ("warn", "rusts.wal.sync"),
        ("error", "rusts.wal.sync"),
        ("warn", "rusts.walrus"),
        ("error", "rusts.walrus"),
    ]
    assert logging.enabled("rusts.wal.sync", "trace")
    assert not logging.enabled("rusts.api", "info")


@pytest.mark.parametrize("text", ["loud", "rusts.wal=", "=debug", "info,rusts.wal=loud"])
def test_wrong_levels(text: str):
    with pytest.raises(ValueError, match="want error, warn, info, debug, trace"):
        logging.parse_levels(text)


def test_lines_of_a_request_carry_its_id():
    stream = configured()
    log = logging.get_logger("rusts.api")
    with logging.request_context("abc-1"):
        log.info("inside")
    log.info("outside")
    inside, outside = stream.getvalue().splitlines()
    assert "request_id=abc-1" in inside
    assert "request_id" not in outside


def test_an_exception_is_told_in_one_line():
    stream = configured()
    try:
        raise OSError("no")
    except OSError:
        logging.get_logger("rusts.api").exception("it failed")
    assert stream.getvalue().count("\n") == 1
    assert "lvl=error" in stream.getvalue()
    assert "OSError: no" in stream.getvalue()


def test_loggers_asked_for_before_configure_follow_it():
    log = logging.get_logger("rusts.early")
    stream = configured()
    log.info("x")
    assert "room=rusts.early" in stream.getvalue()


def test_libraries_go_the_same_way():
    stream = configured(level="info,noisy=error")
    python_logging.getLogger("uvicorn.error").warning("n = %d", 3)
    python_logging.getLogger("uvicorn.error").debug("quiet")
    python_logging.getLogger("noisy.part").warning("quiet too")
    assert stream.getvalue().count("\n") == 1
    assert 'msg="n = 3" room=uvicorn.error' in stream.getvalue()


def test_a_closed_stream_does_no_harm():
    stream = configured()
    stream.close()
    logging.get_logger("rusts.api").error("nobody hears this")
