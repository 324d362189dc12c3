"""The client libraries. Each script of ``scripts/`` asserts for itself; it fails by its exit code."""

from __future__ import annotations

import pytest

from tests.compat.conftest import SERVER, Script

later = pytest.mark.skipif(SERVER == "influxd", reason="InfluxDB 1.6 has no v2 or v3 API")


def test_influxdb_python(python: Script):
    python("influxdb_v1.py", "influxdb", SERVER)


@later
def test_influxdb_client_python(python: Script):
    python("influxdb_v2.py", "influxdb-client")


@later
def test_influxdb3_python(python: Script):
    python("influxdb_v3.py", "influxdb3-python")


def test_node_influx(node: Script):
    node("influx_v1.js", "influx")


@later
def test_influxdb_client_js(node: Script):
    node("influxdb_client_v2.js", "@influxdata/influxdb-client")
