"""rusts: a time-series database that speaks InfluxDB's protocols and keeps its data in Arrow."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
