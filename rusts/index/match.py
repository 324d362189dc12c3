"""Predicates over tags, evaluated on an index: distinct values first, series second."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from rusts.errors import Bug, InvalidRequest
from rusts.index.postings import Postings, bitmap_of
from rusts.index.tables import Tables, arrow_values, texts_of
from rusts.kernels import hashing
from rusts.model.predicate import And, Or, Predicate, TagIn, TagRegex

__all__ = ["Matcher", "check_pattern"]

_FEW: Final = 16
"""Up to this many values are looked up as bitmaps; more of them in one pass over the tag's codes."""


def check_pattern(pattern: str) -> None:
    """Raise InvalidRequest unless `pattern` is a regular expression that RE2 takes."""
    _search(pa.array([""], pa.large_string()), pattern)


def _search(values: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    try:
        found = pc.match_substring_regex(values, pattern)
    except pa.ArrowInvalid as problem:
        reason = str(problem).removeprefix("Invalid regular expression: ")
        raise InvalidRequest(f"invalid regular expression {pattern!r}: {reason}") from None
    mask: npt.NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return mask


class Matcher:
    """Evaluates predicates on one state of an index. `seed` is the index's hash seed."""

    def __init__(self, tables: Tables, postings: Postings, seed: npt.NDArray[np.uint64]) -> None:
        self._tables = tables
        self._postings = postings
        self._seed = seed
        self._tags = {name: tag for tag, name in enumerate(tables.tags)}

    def all(self) -> BitMap:
        """Every number; the caller takes out those without a live series."""
        return BitMap(range(self._tables.length))

    def match(self, predicate: Predicate) -> BitMap:
        """The series for which `predicate` holds. Raises InvalidRequest on a bad pattern, Bug on a field's node."""
        match predicate:
            case TagIn(key, values, negated):
                return self._signed(self._one_of(key, values), negated)
            case TagRegex(key, pattern, negated):
                return self._signed(self._like(key, pattern), negated)
            case And(parts):
                result = self.all()
                for part in parts:
                    result &= self.match(part)
                    if not result:
                        # The other parts still have to be in order.
                        self._check(parts)
                        break
                return result
            case Or(parts):
                return BitMap.union(BitMap(), *map(self.match, parts))
            case _:
                raise Bug(f"a predicate over tags was expected, not {predicate!r}")

    def _check(self, parts: tuple[Predicate, ...]) -> None:
        for part in parts:
            match part:
                case TagRegex(_, pattern, _):
                    check_pattern(pattern)
                case And(inner) | Or(inner):
                    self._check(inner)

    def _signed(self, found: BitMap, negated: bool) -> BitMap:
        return self.all() - found if negated else found

    def _one_of(self, key: str, values: tuple[str, ...]) -> BitMap:
        tag = self._tags.get(key)
        if tag is None:
            return self.all() if "" in values else BitMap()
        t = self._tables
        texts = {0} if "" in values else set()
        for value in values:
            text = value and hashing.find_text(
                value.encode(errors="surrogateescape"),
                tag,
                self._seed,
                t.text_slots,
                t.texts,
                t.starts,
                t.owners,
                t.known_texts,
            )
            if text:
                texts.add(int(text))
        return self._select(tag, np.array(sorted(texts), dtype=np.int64))

    def _like(self, key: str, pattern: str) -> BitMap:
        tag = self._tags.get(key)
        matches_empty = bool(_search(pa.array([""], pa.large_string()), pattern)[0])
        if tag is None:
            return self.all() if matches_empty else BitMap()
        texts = texts_of(self._tables, tag)
        found = texts[_search(arrow_values(self._tables, texts), pattern)]
        return self._select(tag, np.concatenate(([0], found)) if matches_empty else found)

    def _select(self, tag: int, texts: npt.NDArray[np.int64]) -> BitMap:
        """The series whose tag has one of the ascending text ids `texts`."""
        t = self._tables
        if len(texts) <= _FEW:
            found = [self._postings.get(t, tag, text) for text in texts.tolist()]
            return BitMap.union(BitMap(), *found)
        wanted = np.zeros(t.known_texts, dtype=np.bool_)
        wanted[texts] = True
        return bitmap_of(wanted[t.codes[tag, : t.length]])
