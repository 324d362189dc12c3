"""All benches: the table of figures beside what they have to reach, then everything measured as JSON."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from benches import cardinality, ingest, latency, query, start, tsbs
from tools.measure import Options, Report

_WIDTH = 120
BENCHES = {
    "ingest": ingest.measure,
    "cardinality": cardinality.measure,
    "query": query.measure,
    "tsbs": tsbs.measure,
    "latency": latency.measure,
    "start": start.measure,
}


def main() -> None:
    """Exit code 1 if a figure was not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}; all if none is named")
    parser.add_argument("--runs", type=int, default=5, help="alternating runs, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="smaller loads: the figures mean little")
    arguments = parser.parse_args()
    if unknown := set(arguments.benches) - set(BENCHES):
        parser.error(f"no bench {', '.join(sorted(unknown))}")
    options = Options(arguments.runs, arguments.quick)
    reports = []
    for name in arguments.benches or BENCHES:
        print(f"== {name}", file=sys.stderr, flush=True)
        reports.append(BENCHES[name](options))
    _show(reports)
    print(json.dumps([report.as_json(options) for report in reports], indent=1))
    sys.exit(not all(figure.reached for report in reports for figure in report.figures))


def _show(reports: list[Report]) -> None:
    table = Table("bench", "figure", "value", "unit", "wanted", "reached")
    for report in reports:
        for figure in report.figures:
            reached = "" if not figure.wanted else "yes" if figure.reached else "NO"
            table.add_row(report.bench, figure.what, f"{figure.value:,.4g}", figure.unit, figure.wanted, reached)
        table.add_section()
    Console(stderr=True, width=_WIDTH).print(table)


if __name__ == "__main__":
    main()
