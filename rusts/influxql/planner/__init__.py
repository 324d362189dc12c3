"""From a parsed SELECT to a plan: InfluxQL's rules for names, times, conditions, groups and functions."""

from __future__ import annotations

from rusts.influxql.planner.planner import Planned, plan_select

__all__ = ["Planned", "plan_select"]
