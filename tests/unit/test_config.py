from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli

from rusts import config
from rusts.errors import BadConfig


def test_defaults():
    settings = config.load({}, {})
    assert settings.bind == ("127.0.0.1", 8086)
    assert settings.data_dir == "./data"
    assert settings.wal_mode == "periodic"
    assert settings.memory_buffer_size == 64_000_000
    assert settings.flush_interval == 60
    assert settings.max_body_size == 25_000_000
    assert settings.memory_limit == pytest.approx(0.6)
    assert settings.access_log is False


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path):
    path = tmp_path / "rusts.toml"
    path.write_text('bind = ":1"\nwal-mode = "none"\nflush-points = 5\naccess-log = true\n')
    environment = {"RUSTS_BIND": ":2", "RUSTS_WAL_MODE": "os-default"}
    settings = config.load({"bind": ":3"}, environment, str(path))
    assert settings.bind == ("0.0.0.0", 3)
    assert settings.wal_mode == "os-default"
    assert settings.flush_points == 5
    assert settings.access_log is True
    assert settings.query_threads == 4


def test_variables_of_container_users():
    environment = {"BIND_ADDRESS": "[::1]:9", "DATA_DIR": "/d", "MEMORY_BUFFER_SIZE": "1024", "FLUSH_INTERVAL": "5"}
    settings = config.load({}, environment)
    assert settings.bind == ("::1", 9)
    assert str(settings.bind) == "[::1]:9"
    assert settings.data_dir == "/d"
    assert settings.memory_buffer_size == 1024
    assert settings.flush_interval == 5
    assert config.load({}, {"RUST_LOG": "debug"}).log_level == "debug"
    assert config.load({}, {"RUST_LOG": "debug", "LOG_LEVEL": "warn"}).log_level == "warn"
    assert config.load({}, {"DATA_DIR": "/d", "RUSTS_DATA_DIR": "/e"}).data_dir == "/e"
    assert config.load({}, {"DATA_DIR": ""}).data_dir == "./data"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("64MB", 64_000_000), ("64MiB", 64 << 20), ("25m", 25 << 20), ("1.5 GB", 1_500_000_000), ("7b", 7)],
)
def test_sizes(text: str, size: int):
    assert config.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1XB", "-1", "1e3", "0x10"])
def test_wrong_sizes(text: str):
    with pytest.raises(ValueError, match="want a size"):
        config.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("100ms", 0.1), ("1h30m", 5400), ("0.5s", 0.5), ("2d", 172800)]
)
def test_durations(text: str, seconds: float):
    assert config.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1x", "-1s", "1s 2s"])
def test_wrong_durations(text: str):
    with pytest.raises(ValueError, match="want a duration"):
        config.parse_duration(text)


@pytest.mark.parametrize(
    ("flags", "environment", "text"),
    [
        ({"bind": "8086"}, {}, '--bind: wrong value "8086": want an address as 127.0.0.1:8086'),
        ({"bind": "a:99999"}, {}, '--bind: wrong value "a:99999": want an address'),
        ({}, {"RUSTS_WAL_MODE": "fast"}, 'RUSTS_WAL_MODE: wrong value "fast": want one of every-write, periodic'),
        ({}, {"FLUSH_INTERVAL": "soon"}, "FLUSH_INTERVAL: wrong value"),
        ({"log-level": "loud"}, {}, "--log-level: wrong value"),
        ({"memory-limit": "0%"}, {}, "want a share above 0%"),
        ({"access-log": "maybe"}, {}, "want true or false"),
    ],
)
def test_a_wrong_value_names_its_source(flags: dict[str, str], environment: dict[str, str], text: str):
    with pytest.raises(BadConfig, match=re.escape(text)) as caught:
        config.load(flags, environment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ('wal-mod = "none"', 'unknown setting "wal-mod": did you mean "wal-mode"?'),
        ('wal_mode = "none"', 'unknown setting "wal_mode": did you mean "wal-mode"?'),
        ('[http]\nbind-address = ":8086"', 'unknown setting "http.bind-address": here it is called "bind"'),
        ("[data]\nmax-values-per-tag = 5", 'here it is called "max-values-per-tag"'),
        ("reporting-disabled = true", 'unknown setting "reporting-disabled": nothing is ever reported'),
        ("zzz = 1", 'unknown setting "zzz"'),
        ("bind = [1]", 'setting "bind" must be a text'),
        ("bind = ", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_a_hint(tmp_path: Path, toml: str, text: str):
    path = tmp_path / "rusts.toml"
    path.write_text(toml)
    with pytest.raises(BadConfig, match=re.escape(text)):
        config.load({}, {}, str(path))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(BadConfig, match=r"none\.toml: No such file"):
        config.load({}, {}, str(tmp_path / "none.toml"))


def test_every_hint_for_influxdb_names_a_setting_or_says_why():
    names = {s.name for s in config.settings_table()}
    for hint in config._INFLUXDB_KEYS.values():
        assert hint in names or " " in hint


def test_misspelt_environment():
    variables = {"RUSTS_WALMODE": "x", "RUSTS_PROOF": "1", "RUSTS_PORT_8086_TCP": "y", "RUSTS_BIND": ":1", "PATH": ""}
    assert config.misspelt_environment(variables) == ["RUSTS_WALMODE is no setting: did you mean RUSTS_WAL_MODE?"]


def test_the_example_file_is_current_and_complete(tmp_path: Path):
    root = Path(__file__).parents[2]
    assert (root / "rusts.toml.example").read_text() == config.example_file()
    uncommented = re.sub(r"^# ([a-z-]+ = )", r"\1", config.example_file(), flags=re.MULTILINE)
    assert set(tomli.loads(uncommented)) == {s.name for s in config.settings_table()}
    path = tmp_path / "rusts.toml"
    path.write_text(uncommented)
    assert config.load({}, {}, str(path)) == config.load({}, {})


def test_the_manual_has_every_setting():
    manual = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for setting in config.settings_table():
        assert f"| `{setting.name}` | `{setting.default}` |" in manual
