"""The parser room: reasons with their columns, bodies, slices, and real input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rusts.lineprotocol import ERRORS_PER_BODY, LineError, line_number, parse, parser, reason_text, slices
from rusts.model.types import FieldType
from tests.support import lineproto_reference as reference
from tests.support.lineproto_compare import points_of

TESTS = Path(__file__).resolve().parents[2]
CASES: list[dict[str, Any]] = json.loads((TESTS / "golden/lineprotocol/cases.json").read_text())
NOT_LINE_PROTOCOL = {"inputs-smartctl_scan-all.lp", "inputs-smartctl_scan-include.lp"}


@pytest.mark.parametrize("case", CASES, ids=[repr(case["body"])[:60] for case in CASES])
def test_golden_cases(case: dict[str, Any]) -> None:
    body = case["body"].encode()
    parsed = parse(body)
    points = [
        {
            "measurement": point.measurement,
            "tags": point.tags,
            "fields": {f"{name} {type.text}": value for (name, type), value in point.fields.items()},
            "time": point.time,
        }
        for point in points_of(parsed.batches)
    ]
    errors = [
        {"line": line_number(body, error.start), "column": error.column, "reason": error.reason}
        for error in parsed.errors
    ]
    assert points == case["points"]
    assert errors == case["errors"]
    assert (case["influxd"] != [error["reason"] for error in errors]) == ("differs" in case)


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (",t=a v=1", 1, "missing measurement"),
        ("m,=a v=1", 3, "missing tag key"),
        ("m,t v=1", 4, "missing tag value"),
        ("m,t= v=1", 5, "missing tag value"),
        ("m,t=a=b v=1", 6, "invalid tag format"),
        ("m,t=a,b=c,t=d v=1", 11, "duplicate tags"),
        ("m,t=a", 6, "missing fields"),
        ("m,t=a =1", 7, "missing field key"),
        ("m v=1,w=", 9, "missing field value"),
        ("m v=1,w", 8, "invalid field format"),
        ("m v=1,w=1x", 9, "invalid number"),
        ("m v=1,w=1e", 9, "invalid float"),
        ("m v=1,w=yes", 9, "invalid boolean"),
        ('m v=1,w="abc', 9, "unbalanced quotes"),
        ('m v=1,w="abc"d', 14, "invalid field format"),
        ("m v=1 x", 7, "bad timestamp"),
        ("m v=1 1 x", 9, "point is invalid"),
        ("m v=1 9223372036854775807", 7, "time outside range -9223372036854775806 - 9223372036854775806"),
        ("m v=1 9223372036854775808", 7, 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        (
            "m v=9223372036854775808i",
            5,
            'unable to parse integer 9223372036854775808: strconv.ParseInt: parsing "9223372036854775808": '
            "value out of range",
        ),
        (
            "m v=18446744073709551616u",
            5,
            'unable to parse unsigned 18446744073709551616: strconv.ParseUint: parsing "18446744073709551616": '
            "value out of range",
        ),
        ("m,t=" + "x" * 65532 + " v=1", 1, "max key length exceeded: 65536 > 65535"),
        ("m,t=" + "x" * 65520 + " w=1,abcdefghijk=1", 65530, "max key length exceeded: 65539 > 65535"),
        (b"m,t=a\xffb v=1", 6, "invalid UTF-8"),
        (b"m v=1,w\xc3=1", 8, "invalid UTF-8"),
        (b'm v="ab\xed\xa0\x80"', 8, "invalid UTF-8"),
    ],
)
def test_each_reason_has_a_column(line: str | bytes, column: int, reason: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    parsed = parse(b"ok v=1 1\n  " + raw)
    assert parsed.points == 1
    assert parsed.refused == [1]
    assert parsed.errors == [LineError(9, 11 + len(raw), column + 2, reason)]


def test_batches_are_columns_of_one_measurement() -> None:
    body = b'cpu,b=2,a=1 v=1.5,n=3i 10\nmem used=7u,ok=t,s="x" 20\ncpu,a=1,b=2 n=4i,v="text" 30\n'
    cpu, mem = parse(body).batches
    assert (cpu.measurement, mem.measurement) == ("cpu", "mem")
    assert len(cpu.keys) == 1
    assert cpu.series.tolist() == [0, 0]
    assert cpu.times.tolist() == [10, 30]
    assert cpu.starts.tolist() == [0, 52]
    assert list(cpu.columns) == [("v", FieldType.FLOAT), ("n", FieldType.INTEGER), ("v", FieldType.STRING)]
    assert cpu.columns["n", FieldType.INTEGER].validity is None
    assert cpu.columns["v", FieldType.FLOAT].valid().tolist() == [True, False]
    assert cpu.columns["v", FieldType.STRING].valid().tolist() == [False, True]
    assert cpu.columns["v", FieldType.STRING].values.to_pylist() == ["", "text"]
    assert {type.text for _, type in mem.columns} == {"unsigned", "boolean", "string"}


def test_the_later_of_two_equal_fields_wins() -> None:
    (batch,) = parse(b'm v=1,v=2,s="a",s="bc",b=t,b=f 1').batches
    assert [column.values.tolist() for key, column in batch.columns.items() if key[1] != FieldType.STRING] == [
        [2.0],
        [False],
    ]
    assert batch.columns["s", FieldType.STRING].values.to_pylist() == ["bc"]


def test_what_only_a_bad_line_names_is_in_no_batch() -> None:
    parsed = parse(b"m,t=new other=1 bad\nx v=1 bad\nm,t=a v=1 1\n")
    (batch,) = parsed.batches
    assert len(batch.keys) == 1
    assert list(batch.columns) == [("v", FieldType.FLOAT)]


def test_bodies_have_their_own_unit_time_and_mark() -> None:
    mark = "\ufeff".encode()
    bodies = [mark + b"m v=1 2", b"m v=2", b'm v=3 4\nm v="', b'x" y=\nm v=4 5\n']
    bodies += [b"", b"m v=5 1700000000\nm v=6 1700000000123"]
    ends = [sum(map(len, bodies[: i + 1])) for i in range(len(bodies))]
    parsed = parse(b"".join(bodies), ends=ends, units=(1_000, 1, 1_000_000_000, 1, 1, 0), now=(0, 77, 0, 0, 0, 0))
    assert parsed.refused == [0, 0, 1, 1, 0, 0]
    assert [p.time for p in points_of(parsed.batches)] == [
        2_000, 77, 4_000_000_000, 5, 1_700_000_000_000_000_000, 1_700_000_000_123_000_000,
    ]  # fmt: skip
    assert [(e.start, e.end) for e in parsed.errors] == [(ends[1] + 8, ends[2]), (ends[2], ends[2] + 5)]


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        (4_999_999_999, 4_999_999_999 * 10**9), (5_000_000_000, 5_000_000_000 * 10**6),
        (4_999_999_999_999, 4_999_999_999_999 * 10**6), (5_000_000_000_000, 5_000_000_000_000 * 10**3),
        (4_999_999_999_999_999, 4_999_999_999_999_999 * 10**3), (5_000_000_000_000_000, 5_000_000_000_000_000), (0, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1])
def test_times_of_unknown_unit_go_by_their_size(time: int, ns: int, sign: int) -> None:
    (batch,) = parse(f"m v=1 {sign * time}".encode(), units=(0,)).batches
    assert batch.times.tolist() == [sign * ns]


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9, 60 * 10**9, 3_600 * 10**9])
def test_times_reach_to_both_ends_in_every_unit(unit: int) -> None:
    last = 9_223_372_036_854_775_806 // unit
    body = "".join(f"m v=1 {time}\n" for time in (last, -last, last + 1, -last - 1))
    parsed = parse(body.encode(), units=(unit,))
    assert parsed.batches[0].times.tolist() == [last * unit, -last * unit]
    assert {error.reason[:18] for error in parsed.errors} == {"time outside range"}


def test_errors_are_listed_up_to_a_limit_and_all_counted() -> None:
    parsed = parse(b"bad\n" * 1_000 + b"m v=1 1\n" + b"bad\n" * 5)
    assert parsed.refused == [1_005]
    assert len(parsed.errors) == ERRORS_PER_BODY
    assert parsed.points == 1


def test_reason_text_is_influxdbs_and_cuts_long_lines() -> None:
    body = b"\n  bad \nm,t=" + "é".encode() * 200 + b"\n"
    first, second = parse(body).errors
    assert reason_text(first, body) == "unable to parse 'bad ': invalid field format"
    assert reason_text(second, body) == f"unable to parse 'm,t={'é' * 98}...': missing fields"
    assert line_number(body, second.start) == 3
    raw = b"m\xff v=1"
    assert reason_text(parse(raw).errors[0], raw) == "unable to parse 'm\ufffd v=1': invalid UTF-8"


def test_slices_end_at_lines_but_not_inside_strings() -> None:
    body = b'm v="a\nb\nc" 1\nm v=2 2\nm v=3 3\n'
    assert slices(body, 8) == [14, 22, 30]
    assert slices(body, 16) == [14, 30]
    assert slices(body, 1_000) == [30]
    assert slices(b"", 10) == []
    assert slices(b"m v=1 1", 2) == [7]


def lines_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


FILES = sorted([*(TESTS / "data/telegraf").iterdir(), *(TESTS / "data/influxdb").iterdir()])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_input_parses_as_the_reference_reads_it(path: Path) -> None:
    body = lines_of(path)
    unit = 10**9 if path.name == "air_and_water.lp" else 1
    parsed = parse(body, units=(unit,), now=(7,))
    if path.name in NOT_LINE_PROTOCOL:
        assert parsed.points == 0
        assert [error.reason for error in parsed.errors] == ["missing fields"]
        return
    assert parsed.errors == []
    points, bad = reference.read(body, [len(body)], [unit], [7])
    assert bad == []
    assert points_of(parsed.batches) == points
    assert points


def test_every_fault_of_the_kernel_has_a_text() -> None:
    """The kernel's fault numbers, read from its source, are those that have a text here."""
    source = (TESTS.parent / "rusts/kernels/lineproto.py").read_text()
    section = source.split("# Faults:")[1].split("\n\n")[0]
    numbers = [int(line.rsplit(", ", 1)[1].rstrip(")")) for line in section.splitlines()[1:]]
    assert numbers == list(range(1, 22))
    assert {*parser._REASONS, *parser._OVERFLOWS, parser._KEY_TOO_LONG} == set(numbers)
