"""Replay: one row per kind of damage, with what must survive it and what must be reported."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from rusts.errors import Corruption, FormatTooNew
from rusts.model.types import Stamp
from rusts.wal.reader import Damage, RecordInfo, inspect_file, log_bytes, read_file_header, replay, replay_names
from rusts.wal.record import (
    FILE_HEADER_BYTES,
    MARK,
    RECORD_HEADER_BYTES,
    VERSION,
    LogPosition,
    file_name,
    pack_file_header,
    pack_record_header,
)
from rusts.wal.sync import LogMode
from tests.support.disk import READS, SimulatedDisk
from tests.support.wal import DIRECTORY, plain, read_log, rows, split

if TYPE_CHECKING:
    from tests.unit.wal.conftest import OpenLog

FIRST = f"{DIRECTORY}/{file_name(1)}"
RECORDS = 6


def fill(
    open_log: OpenLog, count: int = RECORDS, start: int = 0, size: int = 3, **options: object
) -> list[LogPosition]:
    """Write stamps start..start + count to a new file; returns where each record begins, and the end."""
    log = open_log(**options)
    places = [
        log.append(1, 2, Stamp(n), [rows(7, [n] * size, [n] * size, {102: [n] * size, 105: [f"t{n}"] * size})])[0]
        for n in range(start, start + count)
    ]
    places.append(log.end())
    log.close()
    return places


def edit(disk: SimulatedDisk, data: bytes, path: str = FIRST) -> None:
    """Replace the file's bytes."""
    file = disk.append(path)
    file.truncate(0)
    file.write(data)
    file.sync()


def stamps(disk: SimulatedDisk, **options: object) -> list[int]:
    return [record.stamp.clock for record in read_log(disk, **options)[0]]


class Case(NamedTuple):
    """Bytes ``start:stop`` are replaced by `put` (None: by as many zeros); a place is (record, byte from its begin)."""

    start: tuple[int, int]
    stop: tuple[int, int]
    put: bytes | None
    survivors: list[int]
    damage: tuple[tuple[int, int], int, bool] | None
    """Where it begins, how many bytes it has, whether it is torn."""


def every(*missing: int) -> list[int]:
    return [n for n in range(RECORDS) if n not in missing]


H = RECORD_HEADER_BYTES
CASES = {
    "nothing": Case((0, 0), (0, 0), b"", every(), None),
    "cut in the last header": Case((5, 10), (6, 0), b"", every(5), ((5, 0), 10, True)),
    "cut behind the last header": Case((5, H), (6, 0), b"", every(5), ((5, 0), H, True)),
    "cut in the last rows": Case((5, H + 20), (6, 0), b"", every(5), ((5, 0), H + 20, True)),
    "last byte missing": Case((6, -1), (6, 0), b"", every(5), None),
    "cut between records": Case((5, 0), (6, 0), b"", every(5), None),
    "zeros at the end": Case((6, 0), (6, 0), b"\0" * 5000, every(), ((6, 0), 5000, True)),
    "noise at the end": Case((6, 0), (6, 0), random.Random(1).randbytes(5000), every(), ((6, 0), 5000, True)),
    "a lone mark at the end": Case((6, 0), (6, 0), MARK, every(), ((6, 0), 4, True)),
    "half a mark at the end": Case((6, 0), (6, 0), MARK[:2], every(), ((6, 0), 2, True)),
    "last record flipped": Case((5, H + 9), (5, H + 10), b"\xff", every(5), ((5, 0), -1, True)),
    "header flipped": Case((2, 30), (2, 31), b"\xff", every(2), ((2, 0), -1, False)),
    "mark flipped": Case((2, 1), (2, 2), b"\xff", every(2), ((2, 0), -1, False)),
    "length flipped": Case((2, 15), (2, 16), b"\x7f", every(2), ((2, 0), -1, False)),
    "rows flipped": Case((2, H + 50), (2, H + 51), b"\xff", every(2), ((2, 0), -1, False)),
    "names flipped": Case((2, H + 2), (2, H + 3), b"\xff", every(2), ((2, 0), -1, False)),
    "two neighbours flipped": Case((2, H + 40), (3, 20), None, every(2, 3), None),
    "first record flipped": Case((0, H), (0, H + 1), b"\xff", every(0), ((0, 0), -1, False)),
    "bytes missing in the middle": Case((2, 40), (2, 60), b"", every(2, 3, 4, 5), None),
    "bytes put into the middle": Case((3, 0), (3, 0), b"x" * 100, every(3, 4, 5), None),
    "zeros in the middle": Case((1, 5), (3, 5), None, every(1, 2, 3), None),
    "a record twice": Case((6, 0), (6, 0), b"", every(), None),
}


@pytest.mark.parametrize("name", CASES)
def test_what_survives(open_log: OpenLog, disk: SimulatedDisk, name: str) -> None:
    case = CASES[name]
    places = [place.offset for place in fill(open_log)]
    data = disk.read(FIRST)
    start, stop = (places[record] + byte for record, byte in (case.start, case.stop))
    put = bytes(stop - start) if case.put is None else case.put
    if name == "a record twice":
        put = data[places[2] : places[3]]
    edit(disk, data[:start] + put + data[stop:])
    items = list(replay(disk, DIRECTORY))
    records, damage = split(items)
    assert [record.stamp.clock for _, _, record in records] == case.survivors
    if case.damage is not None:
        (record, byte), length, torn = case.damage
        offset = places[record] + byte
        length = places[record + 1] - places[record] if length < 0 else length
        assert [(d.file, d.offset, d.length, d.torn) for d in damage] == [(FIRST, offset, length, torn)]
        assert all(d.reason for d in damage)
    # Good records and damage cover the file without a gap.
    at = FILE_HEADER_BYTES
    for item in items:
        begin, end = (item.offset, item.offset + item.length) if isinstance(item, Damage) else (item[0][1], item[1][1])
        assert begin == at
        at = end
    assert at == len(disk.read(FIRST))


def test_every_flipped_byte_is_noticed(open_log: OpenLog, disk: SimulatedDisk) -> None:
    """Each byte costs one record at most, and never gives a wrong one."""
    fill(open_log)
    whole = [(r.stamp, r.measurements, [plain(b) for b in r.rows]) for r in read_log(disk)[0]]
    for offset in range(disk.size(FIRST)):
        disk.corrupt(FIRST, offset, 0x10)
        records, damage = read_log(disk)
        found = [(r.stamp, r.measurements, [plain(b) for b in r.rows]) for r in records]
        if offset < FILE_HEADER_BYTES:
            assert (found, damage) == (whole, [])
        else:
            assert len(damage) == 1, offset
            lost = [record for record in whole if record not in found]
            assert len(lost) == 1
            assert [record for record in whole if record in found] == found
            assert damage[0].offset <= offset < damage[0].offset + damage[0].length
            assert damage[0].torn is (lost[0] == whole[-1])
        disk.corrupt(FIRST, offset, 0x10)


def test_a_stored_record_passes_for_none(open_log: OpenLog, disk: SimulatedDisk) -> None:
    """A client stores the bytes of a whole log file as text or number; damage around it must not bring it to life."""
    fill(open_log)
    forged = disk.read(FIRST)
    log = open_log()
    at = [log.append(1, 2, Stamp(50 + n), [rows(7, [1], [1], {105: [forged.decode("latin-1")]})])[0] for n in range(2)]
    at.append(log.append(1, 2, Stamp(99), [rows(7, [1], [1], {102: [1]})])[0])
    log.close()
    path = f"{DIRECTORY}/{file_name(2)}"
    disk.corrupt(path, at[0].offset + 20)
    data = disk.read(path)
    # The raw bytes, too, in the place of the damaged record's rows.
    begin = at[0].offset + H + 10
    edit(
        disk, data[:begin] + forged[: at[1].offset - begin] + data[begin + len(forged[: at[1].offset - begin]) :], path
    )
    records, damage = read_log(disk, start=LogPosition(2, 0))
    assert [r.stamp.clock for r in records] == [51, 99]
    assert len(damage) == 1


# -- several files


def test_torn_ends_of_earlier_runs_are_torn(open_log: OpenLog, disk: SimulatedDisk) -> None:
    for run in range(3):
        fill(open_log, 2, start=10 * run)
        file = disk.append(f"{DIRECTORY}/{file_name(run + 1)}")
        file.write(MARK + b"torn")
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [0, 1, 10, 11, 20, 21]
    assert [(d.file, d.length, d.torn) for d in damage] == [(f"{DIRECTORY}/{file_name(n)}", 8, True) for n in (1, 2, 3)]


def test_a_file_that_was_full_must_be_whole(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log, 2, file_bytes=1)
    data = disk.read(FIRST)
    edit(disk, data[:-10])
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [1]
    assert [(d.offset, d.torn) for d in damage] == [(FILE_HEADER_BYTES, False), (len(data) - 10, False)]
    edit(disk, data[:FILE_HEADER_BYTES])
    records, damage = read_log(disk)
    assert [(d.offset, d.length, d.torn) for d in damage] == [(FILE_HEADER_BYTES, len(data) - FILE_HEADER_BYTES, False)]
    edit(disk, data + b"more")
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [0, 1]
    assert [(d.offset, d.length, d.torn) for d in damage] == [(len(data), 4, True)]


def test_a_missing_file_is_damage(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log, 4, file_bytes=1)
    disk.remove(f"{DIRECTORY}/{file_name(3)}")
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [0, 1, 3]
    assert [(d.file, d.reason, d.torn) for d in damage] == [
        (f"{DIRECTORY}/{file_name(3)}", "the file is missing", False)
    ]
    disk.remove(FIRST)
    disk.remove(f"{DIRECTORY}/{file_name(2)}")
    assert read_log(disk)[1] == []  # released


@pytest.mark.parametrize("size", [0, 10, FILE_HEADER_BYTES // 2 - 1])
def test_a_file_that_was_being_made(open_log: OpenLog, disk: SimulatedDisk, size: int) -> None:
    fill(open_log, 2)
    header = pack_file_header(read_file_header(disk, FIRST)._replace(number=2, previous=1))
    disk.create(f"{DIRECTORY}/{file_name(2)}").write(header[:size])
    records, damage = read_log(disk)
    assert len(records) == 2
    assert [(d.length, d.torn) for d in damage] == [(size, True)]
    fill(open_log, 2, start=5)
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [0, 1, 5, 6]
    assert [(d.length, d.torn) for d in damage] == [(size, True)]
    # A file behind it that says how far it went makes it damage.
    header = pack_file_header(read_file_header(disk, f"{DIRECTORY}/{file_name(3)}")._replace(previous_end=4000))
    edit(disk, header, f"{DIRECTORY}/{file_name(3)}")
    assert [(d.length, d.torn) for d in read_log(disk)[1]] == [(size, False)]


def test_a_file_without_a_header_is_fenced(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log, 2)
    fill(open_log, 2, start=5)
    disk.corrupt(FIRST, 5)
    disk.corrupt(FIRST, FILE_HEADER_BYTES // 2 + 5)
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [5, 6]
    assert [(d.file, d.offset, d.length, d.torn) for d in damage] == [(FIRST, 0, disk.size(FIRST), False)]


def test_other_files_are_left_alone(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log)
    disk.create(f"{DIRECTORY}/notes.txt").write(b"hello")
    assert stamps(disk) == list(range(RECORDS))
    assert list(replay(SimulatedDiskWithDirectory(), DIRECTORY)) == []


def SimulatedDiskWithDirectory() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir(DIRECTORY)
    return disk


# -- where to begin and to end


def test_start_and_before(open_log: OpenLog, disk: SimulatedDisk) -> None:
    places = fill(open_log) + fill(open_log, 3, start=20)
    assert stamps(disk, start=places[4]) == [4, 5, 20, 21, 22]
    assert stamps(disk, start=places[6]) == [20, 21, 22]  # the end of the first file
    assert stamps(disk, start=LogPosition(1, 10**9)) == [20, 21, 22]
    assert stamps(disk, start=places[8]) == [21, 22]
    assert stamps(disk, start=LogPosition(9, 0)) == []
    assert stamps(disk, before=LogPosition(2, FILE_HEADER_BYTES)) == list(range(6))
    assert stamps(disk, before=LogPosition(1, FILE_HEADER_BYTES)) == []
    assert [r.stamp.clock for _, _, r in split(list(replay_names(disk, DIRECTORY, places[4])))[0]] == [4, 5, 20, 21, 22]
    first, second = disk.size(FIRST), disk.size(f"{DIRECTORY}/{file_name(2)}")
    assert log_bytes(disk, DIRECTORY) == first + second
    assert log_bytes(disk, DIRECTORY, places[4]) == first - places[4].offset + second
    assert log_bytes(disk, DIRECTORY, before=places[8]) == first


def test_replay_beside_a_log_that_is_written(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log)
    log = open_log()
    reading = replay(disk, DIRECTORY, before=log.first)
    next(reading)
    log.append(1, 2, Stamp(50), [rows(7, [1], [1], {102: [1]})])
    log.rotate()
    log.append(1, 2, Stamp(51), [rows(7, [1], [1], {102: [1]})])
    assert len(list(reading)) == RECORDS - 1
    log.close()


def test_records_larger_than_the_window(open_log: OpenLog, disk: SimulatedDisk) -> None:
    rng = random.Random(3)
    texts = [rng.randbytes(400_000).decode("latin-1") for _ in range(4)]
    log = open_log()
    for n in range(3):
        log.append(1, 2, Stamp(n), [rows(7, [0] * 4, list(range(4)), {105: texts})])
        log.append(1, 2, Stamp(n), [rows(7, [0], [n], {102: [n]})])
    log.close()
    records, damage = read_log(disk)
    assert damage == []
    assert len(records) == 6
    assert plain(records[4].rows[0])[3][105][1] == texts
    start = FILE_HEADER_BYTES + 2_000_000
    disk.corrupt(FIRST, start)
    records, damage = read_log(disk)
    assert len(records) == 5
    assert damage[0].offset == FILE_HEADER_BYTES
    disk.corrupt(FIRST, FILE_HEADER_BYTES + 4)
    records, damage = read_log(disk)
    assert len(records) == 5


@pytest.mark.parametrize("shift", range(-6, 7))
def test_a_mark_on_the_edge_of_the_window(open_log: OpenLog, disk: SimulatedDisk, shift: int) -> None:
    """The next good record is found wherever it lies in the pieces that are read."""
    gap = (1 << 20) + shift
    fill(open_log, 1)
    data = disk.read(FIRST)
    salt = read_file_header(disk, FIRST).salt
    offset = len(data) + gap
    body = data[FILE_HEADER_BYTES + H :]
    record = pack_record_header(salt, offset, Stamp(77), 1, 2, b"", body[len(body) :] + b"\x00\x00\x00\x00\x00")
    edit(disk, data + MARK[:1] * gap + record + b"\x00\x00\x00\x00\x00")
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [0, 77]
    assert [(d.offset, d.length) for d in damage] == [(len(data), gap)]


def test_bytes_behind_a_good_checksum_can_be_wrong_too(open_log: OpenLog, disk: SimulatedDisk) -> None:
    places = fill(open_log, 2)
    data = disk.read(FIRST)
    salt = read_file_header(disk, FIRST).salt
    end = places[-1].offset
    bad = b"\x00\xff\xff\xff\xff"
    edit(disk, data + pack_record_header(salt, end, Stamp(9), 1, 2, bad, b"") + bad)
    records, damage = read_log(disk)
    assert len(records) == 2
    assert [(d.offset, d.torn) for d in damage] == [(end, False)]
    assert "names of a record" in damage[0].reason
    assert [(d.offset, d.torn) for d in split(list(replay_names(disk, DIRECTORY)))[1]] == [(end, False)]
    assert [(d.offset) for d in inspect_file(disk, FIRST) if isinstance(d, Damage)] == [end]


# -- less work


def test_what_is_not_wanted_is_not_read(open_log: OpenLog, disk: SimulatedDisk) -> None:
    places = fill(open_log)
    disk.corrupt(FIRST, places[1].offset + H + 30)
    asked: list[LogPosition] = []

    def wanted(database: int, policy: int, end: LogPosition, stamp: Stamp) -> bool:
        assert (database, policy) == (1, 2)
        assert end == places[stamp.clock + 1]
        asked.append(end)
        return end > places[3]

    assert read_log(disk, wanted=wanted)[1] == []
    assert asked == places[1:]
    assert stamps(disk, wanted=wanted) == [3, 4, 5]
    disk.corrupt(FIRST, places[2].offset)
    records, damage = read_log(disk, wanted=wanted)
    assert [r.stamp.clock for r in records] == [3, 4, 5]
    assert [d.offset for d in damage] == [places[2].offset]


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_gathering_changes_nothing_but_the_grain(open_log: OpenLog, disk: SimulatedDisk, limit: int) -> None:
    seed = 11
    rng = random.Random(seed)
    log = open_log(file_bytes=60_000)
    for n in range(600):
        count = rng.choice([1, 1, 1, 1, 1, 3, 3, 3, 40])
        batches = []
        for measurement in rng.sample([7, 8, 9], rng.choice([1, 1, 2])):
            columns: dict[int, list[object]] = {measurement * 10 + 1: [rng.randrange(9)] * count}
            if rng.random() < 0.02:
                columns[105] = ["text"] * count
            if rng.random() < 0.02:
                columns[measurement * 10 + 2] = [None if rng.random() < 0.5 else 1] * count
            batches.append(rows(measurement, [rng.randrange(20)] * count, [n] * count, columns))
        log.append(1, rng.choice([2, 2, 2, 2, 3]), Stamp(n), batches)
        if n == 300:
            log.sync_once()
    log.close()
    disk.corrupt(f"{DIRECTORY}/{file_name(2)}", 5000)

    def cells(items: list[object]) -> dict[object, object]:
        """The last value of each cell, by database, policy, measurement, series, time and field."""
        found: dict[object, object] = {}
        for item in items:
            if isinstance(item, Damage):
                continue
            _, _, record = item  # type: ignore[misc]
            for batch in record.rows:
                measurement, series, times, columns = plain(batch)
                for field, (_, values) in columns.items():
                    for s, t, value in zip(series, times, values, strict=True):
                        if value is not None:
                            found[record.database, record.policy, measurement, s, t, field] = value
        return found

    single = list(replay(disk, DIRECTORY))
    gathered = list(replay(disk, DIRECTORY, gather_rows=limit))
    assert cells(gathered) == cells(single), f"seed {seed}"
    (one, damage), (many, same) = split(single), split(gathered)
    assert damage == same
    assert len(damage) == 1
    assert max(end for _, end, _ in many) == one[-1][1]
    assert len(many) < len(one) * 0.6 or limit < 10_000
    for policy in (2, 3):
        singles = [(s, e, r) for s, e, r in one if r.policy == policy]
        for start, end, record in (found for found in many if found[2].policy == policy):
            covered = []
            while singles and singles[0][1] <= end:
                covered.append(singles.pop(0))
            assert covered[0][0] == start
            assert covered[-1][1] == end
            assert covered[-1][2].stamp == record.stamp
            assert [p for _, _, r in covered for p in r.measurements] == record.measurements
            assert sum(len(b) for _, _, r in covered for b in r.rows) == sum(len(b) for b in record.rows)
        assert singles == []


# -- names


def test_names_without_rows(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(file_bytes=2000)
    written = [3, 1, 9, 2, 5, 4, 4, 7]
    for stamp in written * 3:
        log.append(1, 2, Stamp(stamp), [rows(7, [stamp] * 20, [0] * 20, {102: [0] * 20})])
    log.close()
    assert len(disk.list_dir(DIRECTORY)) > 2
    whole, _ = split(list(replay(disk, DIRECTORY)))
    found, damage = split(list(replay_names(disk, DIRECTORY)))
    assert damage == []
    assert all(record.rows == [] for _, _, record in found)
    assert found[-1][1] == whole[-1][1]
    assert max(record.stamp for _, _, record in found) == Stamp(9)

    def names(records: object) -> list[object]:
        return [
            (start, r.measurements, r.fields, [(m, n.tolist()) for m, n, _ in r.series])
            for start, _, r in records  # type: ignore[attr-defined]
            if r.measurements or r.fields or r.series
        ]

    assert names(found) == names(whole)
    assert len(found) < len(whole)


def test_names_are_read_without_the_rows(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log)
    disk.corrupt(FIRST, disk.size(FIRST) - 5)
    assert split(list(replay_names(disk, DIRECTORY)))[1] == []
    assert len(read_log(disk)[1]) == 1


# -- what stops a replay


def test_a_later_format_stops_it(open_log: OpenLog, disk: SimulatedDisk) -> None:
    places = fill(open_log)
    data = bytearray(disk.read(FIRST))
    header = read_file_header(disk, FIRST)
    edit(disk, pack_file_header(header._replace(version=VERSION + 1)) + bytes(data[FILE_HEADER_BYTES:]))
    with pytest.raises(FormatTooNew, match=f"format version {VERSION + 1}"):
        read_log(disk)
    at = places[3].offset
    record = bytearray(data[at : at + H])
    record[8] = 2
    record[4:8] = zlib.crc32(bytes(record[8:]), (header.salt + at) & 0xFFFFFFFF).to_bytes(4, "little")
    data[at : at + H] = record
    edit(disk, bytes(data))
    for read in (replay, replay_names):
        with pytest.raises(FormatTooNew):
            list(read(disk, DIRECTORY))  # type: ignore[operator]


def test_a_device_that_cannot_read(open_log: OpenLog, disk: SimulatedDisk) -> None:
    fill(open_log)
    disk.fail_at(4, kinds=READS)
    with pytest.raises(OSError, match="read"):
        read_log(disk)


# -- for people


def test_inspection(open_log: OpenLog, disk: SimulatedDisk) -> None:
    places = fill(open_log, mode=LogMode.OS_DEFAULT)
    found = list(inspect_file(disk, FIRST))
    assert all(isinstance(item, RecordInfo) for item in found)
    infos = [item for item in found if isinstance(item, RecordInfo)]
    assert [item.position for item in infos] == places[:-1]
    assert [item.size for item in infos] == [b.offset - a.offset for a, b in pairwise(places)]
    assert all(item.size == H + item.names_size + item.rows_size for item in infos)
    assert infos[0].record.measurements == [(7, "m7")]
    assert len(infos[0].record.rows[0]) == 3
    disk.corrupt(FIRST, places[1].offset)
    damaged = list(inspect_file(disk, FIRST))
    assert isinstance(damaged[1], Damage)
    with pytest.raises(ValueError, match="not named"):
        read_file_header(disk, f"{DIRECTORY}/x")
    disk.corrupt(FIRST, 0)
    disk.corrupt(FIRST, FILE_HEADER_BYTES // 2)
    with pytest.raises(Corruption):
        list(inspect_file(disk, FIRST))
