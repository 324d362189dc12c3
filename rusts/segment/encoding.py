"""Encodings of chunks: a column of one batch as bytes, and back.

Each encoding has a number and a version that are on disk for ever. `ARROW` and `PACK` carry any
column; the others carry the values that are not null, with a boolean chunk of validity beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pcodec import ChunkConfig, standalone
from pyarrow import ipc

from rusts.errors import FormatTooNew
from rusts.model.batch import Column, string_buffers, strings_of
from rusts.model.types import DTYPES, FieldType
from rusts.segment.layout import ChunkRecord, ChunkRole
from rusts.segment.narrow import narrow, widen
from rusts.segment.pack import PACK_VERSION, pack_arrays, unpack_arrays
from rusts.segment.stats import Known, value_of

__all__ = ["COLD", "HOT", "Encoded", "Encoding", "EncodingPolicy", "check_known", "decode", "decode_validity", "encode"]


class Encoding(IntEnum):
    """The number of an encoding. Those above `PCODEC` are kept for encodings to come."""

    ARROW = 1
    PACK = 2
    PCODEC = 3
    DELTA_OF_DELTA = 16
    GORILLA = 17
    ZIGZAG_VARINT = 18
    DICTIONARY = 19
    BITPACK = 20


_VERSIONS: Final = {Encoding.ARROW: 1, Encoding.PACK: PACK_VERSION, Encoding.PCODEC: 1}
"""The newest version of each encoding that this rusts reads and writes."""

PACK_ROWS: Final = 1 << 10
"""Columns of fewer rows are packed: an Arrow stream's own 350 bytes would be most of the chunk."""

_PACK_BYTES: Final = 1 << 20
_PCODEC_VALUES: Final = 64
_PCODEC: Final = ChunkConfig()
_ZSTD_LEVEL: Final = 3
_MAX_STRING: Final = 1 << 32
_MAX_DECIMALS: Final = 6
_EXACT: Final = float(1 << 53)
_SAMPLE: Final = 64
_SAMPLE_STRINGS: Final = 512

# One column at a time: Arrow's own threads cost four times more than they bring.
_READ: Final = ipc.IpcReadOptions(use_threads=False)
_WRITE: Final = {
    "lz4": ipc.IpcWriteOptions(compression="lz4", use_threads=False),
    "zstd": ipc.IpcWriteOptions(compression=pa.Codec("zstd", _ZSTD_LEVEL), use_threads=False),
}


_PLAIN_TYPES: Final = frozenset(
    (pa.bool_(), pa.int64(), pa.uint64(), pa.float64(), pa.uint8(), pa.uint16(), pa.uint32())
)


@dataclass(frozen=True, slots=True)
class EncodingPolicy:
    """Which encodings a segment is written with.

    `compression` is that of Arrow buffers and packed arrays ("lz4" or "zstd"); `times`, `floats` and
    `integers` (unsigned ones too) are ARROW or PCODEC.
    """

    compression: str
    times: Encoding
    floats: Encoding
    integers: Encoding


HOT: Final = EncodingPolicy("lz4", Encoding.ARROW, Encoding.ARROW, Encoding.ARROW)
COLD: Final = EncodingPolicy("zstd", Encoding.PCODEC, Encoding.PCODEC, Encoding.PCODEC)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One chunk to write: its bytes and what the chunk table says of them."""

    role: ChunkRole
    encoding: Encoding
    data: Any
    rows: int
    nulls: int
    parameter: int = 0

    @property
    def version(self) -> int:
        """The version of the encoding."""
        return _VERSIONS[self.encoding]


def check_known(file: str, record: ChunkRecord) -> None:
    """Raise FormatTooNew if a later rusts must have encoded the chunk."""
    known = _VERSIONS.get(record.encoding, 0)  # type: ignore[call-overload]
    if not 0 < record.version <= known:
        raise FormatTooNew(f"{file} (encoding {record.encoding})", record.version, known)


def encode(column: Column, known: Known, policy: EncodingPolicy, *, times: bool = False) -> list[Encoded]:
    """The chunks of `column`, of which `stats.survey` found `known`: values, then validity if apart.

    A column without any value has none.
    """
    rows = len(column)
    if known.nulls == rows:
        return []
    chosen = _chosen(column.type, policy, times)
    if chosen is Encoding.PCODEC and rows - known.nulls >= _PCODEC_VALUES:
        data = standalone.simple_compress(np.ascontiguousarray(known.present), _PCODEC)
        chunks = [Encoded(ChunkRole.VALUES, Encoding.PCODEC, data, rows, known.nulls)]
        if known.nulls:
            chunks.append(_validity_chunk(column.valid(), policy))
        return chunks
    if rows < PACK_ROWS and column.nbytes < _PACK_BYTES:
        data = pack_arrays(_packable(column, known), policy.compression)
        return [Encoded(ChunkRole.VALUES, Encoding.PACK, data, rows, known.nulls)]
    array, parameter = _arrow(column, known)
    data = _stream(array, policy)
    return [Encoded(ChunkRole.VALUES, Encoding.ARROW, data, rows, known.nulls, parameter)]


def _chosen(type: FieldType, policy: EncodingPolicy, times: bool) -> Encoding:
    if times:
        return policy.times
    if type is FieldType.FLOAT:
        return policy.floats
    return policy.integers if type.numeric else Encoding.ARROW


def _validity_chunk(validity: npt.NDArray[np.bool_], policy: EncodingPolicy) -> Encoded:
    rows = len(validity)
    bits = np.packbits(validity, bitorder="little")
    if rows < PACK_ROWS:
        return Encoded(ChunkRole.VALIDITY, Encoding.PACK, pack_arrays([bits], policy.compression), rows, 0)
    array = pa.Array.from_buffers(pa.bool_(), rows, [None, pa.py_buffer(bits)])
    return Encoded(ChunkRole.VALIDITY, Encoding.ARROW, _stream(array, policy), rows, 0)


def _packable(column: Column, known: Known) -> list[npt.NDArray[Any]]:
    arrays: list[npt.NDArray[Any]]
    if column.type is FieldType.STRING:
        ends, data = string_buffers(known.present)
        arrays = [np.diff(ends), data[ends[0] : ends[-1]]]
    elif column.type is FieldType.BOOLEAN:
        arrays = [np.packbits(known.present, bitorder="little")]
    else:
        arrays = [known.present]
    if known.nulls:
        arrays.append(np.packbits(column.valid(), bitorder="little"))
    return arrays


def _stream(array: Any, policy: EncodingPolicy) -> Any:
    batch = pa.RecordBatch.from_arrays([array], names=["values"])
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, batch.schema, options=_WRITE[policy.compression]) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _arrow(column: Column, known: Known) -> tuple[Any, int]:
    """The column as an Arrow array, and the chunk's parameter."""
    rows = len(column)
    bitmap = None
    if known.nulls:
        bitmap = pa.py_buffer(np.packbits(column.valid(), bitorder="little"))
    if column.type is FieldType.STRING:
        return _arrow_strings(column, known, bitmap), 0
    if column.type is FieldType.BOOLEAN:
        bits = pa.py_buffer(np.packbits(column.values, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), rows, [bitmap, bits], known.nulls), 0
    values = np.ascontiguousarray(column.values)
    parameter = 0
    if known.low is not None and known.high is not None:
        if known.nulls:
            # What a null's slot holds is free: the smallest value narrows best.
            values = np.where(column.valid(), values, values.dtype.type(known.low))
        stored = None
        if column.type is not FieldType.FLOAT:
            small = narrow(values, int(known.low), int(known.high))
            if small.stored.itemsize < 8:
                stored, parameter = small.stored, small.scale
        elif not known.nan:
            stored, parameter = _decimal(values, float(known.low), float(known.high))
        if stored is not None:
            values = stored
    type = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(type, rows, [bitmap, pa.py_buffer(values)], known.nulls), parameter


def _arrow_strings(column: Column, known: Known, bitmap: Any) -> Any:
    """The strings, dictionary encoded where a sample of them repeats."""
    ends, data = string_buffers(column.values)
    first = int(ends[0])
    used = pa.py_buffer(data[first : int(ends[-1])])
    narrow_offsets = len(used) < 1 << 31
    ends = (ends - first).astype(np.int32 if narrow_offsets else np.int64)
    type = pa.string() if narrow_offsets else pa.large_string()
    array = pa.Array.from_buffers(type, len(column), [bitmap, pa.py_buffer(ends), used], known.nulls)
    sample = array.take(pa.array(np.arange(0, len(array), max(1, len(array) // _SAMPLE_STRINGS))))
    if 2 * pc.count_distinct(sample).as_py() > len(sample):
        return array
    encoded = array.dictionary_encode()
    distinct = len(encoded.dictionary)
    if 2 * distinct > len(column):
        return array
    index_type = pa.int8() if distinct < 1 << 7 else pa.int16() if distinct < 1 << 15 else pa.int32()
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(index_type), encoded.dictionary)


def _decimal(values: npt.NDArray[np.float64], low: float, high: float) -> tuple[npt.NDArray[Any] | None, int]:
    """Floats that are decimals of few digits as whole numbers, if each comes back bit by bit.

    Returns ``(stored, divisor)`` with ``value = (rint(low * divisor) + stored) / divisor``, or (None, 0).
    """
    sample = values[:: max(1, len(values) // _SAMPLE)]
    for exponent in range(_MAX_DECIMALS + 1):
        divisor = 10**exponent
        if not max(abs(low), abs(high)) * divisor < _EXACT:
            break
        if not np.array_equal(np.rint(sample * divisor) / divisor, sample):
            continue
        base = round(low * divisor)
        span = round(high * divisor) - base
        if span >= 1 << 32:
            break
        scaled = np.rint(values * divisor)
        scaled -= base
        width = np.uint8 if span < 1 << 8 else np.uint16 if span < 1 << 16 else np.uint32
        stored = scaled.astype(width)
        if np.array_equal(_from_decimal(stored, low, divisor).view(np.int64), values.view(np.int64)):
            return stored, divisor
    return None, 0


def _from_decimal(stored: npt.NDArray[Any], low: float, divisor: int) -> npt.NDArray[np.float64]:
    values = stored.astype(np.float64)
    base = round(low * divisor)
    if base:
        values += base
    if divisor != 1:
        values /= divisor
    return values


def decode_validity(record: ChunkRecord, data: bytes) -> npt.NDArray[np.bool_]:
    """bool[rows] of a VALIDITY chunk. Raises ValueError."""
    if record.encoding == Encoding.PACK:
        (bits,) = unpack_arrays(data, 1, record.rows + 64)
        return _bits(bits, record.rows)
    array = _read_stream(data, record.rows)
    if array.type != pa.bool_() or array.null_count:
        raise ValueError(f"validity is of type {array.type}")
    return _bits(np.frombuffer(array.buffers()[1], dtype=np.uint8), record.rows)


def decode(type: FieldType, record: ChunkRecord, data: bytes, validity: npt.NDArray[np.bool_] | None) -> Column:
    """The column of a VALUES chunk; `validity` is that of its VALIDITY chunk, if it has one.

    Raises ValueError if the bytes do not hold `record.rows` rows of `type`. Arrays may be read-only.
    """
    if record.encoding == Encoding.PCODEC:
        return _decode_pcodec(type, record, data, validity)
    if record.encoding == Encoding.PACK:
        return _decode_pack(type, record, data)
    array = _read_stream(data, record.rows)
    bitmap = array.buffers()[0]
    nulls = None
    if bitmap is not None and array.null_count:
        nulls = _bits(np.frombuffer(bitmap, dtype=np.uint8), record.rows)
    if (record.rows if nulls is None else np.count_nonzero(nulls)) != record.rows - record.nulls:
        raise ValueError(f"not the {record.nulls} nulls that the chunk table says")
    if type is FieldType.STRING:
        return _decode_strings(array, nulls)
    if array.type not in _PLAIN_TYPES:
        raise ValueError(f"a column of {type.text} values is of type {array.type}")
    buffer = array.buffers()[1]
    if type is FieldType.BOOLEAN:
        if array.type != pa.bool_():
            raise ValueError(f"a boolean column is of type {array.type}")
        return Column(type, _bits(np.frombuffer(buffer, dtype=np.uint8), record.rows), nulls)
    stored = np.frombuffer(buffer, dtype=array.type.to_pandas_dtype(), count=record.rows)
    if record.parameter == 0:
        if stored.dtype != DTYPES[type]:
            raise ValueError(f"a column of {DTYPES[type]} is of type {array.type}")
        return Column(type, stored, nulls)
    if stored.dtype.kind != "u" or stored.itemsize == 8:
        raise ValueError(f"a narrowed column is of type {array.type}")
    if type is FieldType.FLOAT:
        low = float(value_of(type, record.min))
        if not abs(low) * record.parameter < _EXACT:
            raise ValueError("a decimal column's bounds are wrong")
        return Column(type, _from_decimal(stored, low, record.parameter), nulls)
    return Column(type, widen(stored, record.min, record.parameter).view(DTYPES[type]), nulls)


def _read_stream(data: bytes, rows: int) -> Any:
    """The one column of a chunk's Arrow stream."""
    try:
        with ipc.open_stream(pa.py_buffer(data), options=_READ) as reader:
            batch = reader.read_next_batch()
        batch.validate()
    except (pa.ArrowException, OSError, StopIteration) as problem:
        raise ValueError(f"no Arrow stream: {problem}") from None
    if batch.num_columns != 1 or batch.num_rows != rows:
        raise ValueError(f"an Arrow stream of {batch.num_columns} columns and {batch.num_rows} rows")
    array = batch.column(0)
    if array.offset:
        raise ValueError("an Arrow stream with an offset")
    return array


def _bits(bits: npt.NDArray[np.uint8], rows: int) -> npt.NDArray[np.bool_]:
    if bits.dtype != np.uint8 or len(bits) * 8 < rows:
        raise ValueError("no bits, or too few")
    return np.unpackbits(bits, count=rows, bitorder="little").view(np.bool_)


def _decode_strings(array: Any, validity: npt.NDArray[np.bool_] | None) -> Column:
    """A column over the array's strings; validates them, because wrong offsets would be read through later."""
    try:
        array.validate(full=True)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            raise ValueError(f"a string column is of type {array.type}")
        _, offsets, data = array.cast(pa.large_string()).buffers()
    except pa.ArrowException as problem:
        raise ValueError(f"bad strings: {problem}") from None
    ends = np.frombuffer(offsets, dtype=np.int64, count=len(array) + 1)
    texts = np.frombuffer(data or b"", dtype=np.uint8)
    return Column(FieldType.STRING, strings_of(ends, texts).values, validity)


def _spread(
    type: FieldType, present: npt.NDArray[Any], validity: npt.NDArray[np.bool_] | None, rows: int
) -> npt.NDArray[Any]:
    """The values at their rows, zero elsewhere."""
    if validity is None:
        if len(present) != rows:
            raise ValueError(f"{len(present)} values for {rows} rows")
        return present
    if len(validity) != rows or int(np.count_nonzero(validity)) != len(present):
        raise ValueError("values and validity do not fit")
    values = np.zeros(rows, dtype=present.dtype)
    values[validity] = present
    return values


def _decode_pcodec(type: FieldType, record: ChunkRecord, data: bytes, validity: npt.NDArray[np.bool_] | None) -> Column:
    present = np.empty(record.rows - record.nulls, dtype=DTYPES[type])
    try:
        progress = standalone.simple_decompress_into(data, present)
    except (RuntimeError, TypeError, ValueError) as problem:
        raise ValueError(f"pcodec: {problem}") from None
    if progress.n_processed != len(present) or not progress.finished:
        raise ValueError("pcodec: not the number of values that the chunk table says")
    return Column(type, _spread(type, present, validity, record.rows), validity)


def _decode_pack(type: FieldType, record: ChunkRecord, data: bytes) -> Column:
    rows = record.rows
    has_nulls = record.nulls > 0
    string = type is FieldType.STRING
    arrays = unpack_arrays(data, 1 + string + has_nulls, _MAX_STRING if string else 16 * rows + 256)
    validity = None
    if has_nulls:
        validity = _bits(arrays[-1], rows)
        if int(np.count_nonzero(validity)) != rows - record.nulls:
            raise ValueError(f"not the {record.nulls} nulls that the chunk table says")
    if type is FieldType.BOOLEAN:
        present: npt.NDArray[Any] = _bits(arrays[0], rows - record.nulls)
        return Column(type, _spread(type, present, validity, rows), validity)
    if not string:
        if arrays[0].dtype != DTYPES[type]:
            raise ValueError(f"a column of {DTYPES[type]} is of type {arrays[0].dtype}")
        return Column(type, _spread(type, arrays[0], validity, rows), validity)
    lengths, texts = _spread(type, arrays[0], validity, rows), arrays[1]
    if lengths.dtype != np.int64 or texts.dtype != np.uint8 or (rows and int(lengths.min()) < 0):
        raise ValueError("bad strings")
    offsets = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if int(offsets[-1]) != len(texts):
        raise ValueError("bad strings: their lengths do not add up")
    column = Column(type, strings_of(offsets, texts).values, validity)
    try:
        column.values.validate(full=True)
    except pa.ArrowException as problem:
        raise ValueError(f"bad strings: {problem}") from None
    return column
