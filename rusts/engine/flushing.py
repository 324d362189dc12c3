"""Flushing: memtables are sealed, become segments, and the log that they cover goes."""

from __future__ import annotations

from typing import Final

from rusts.catalog.schema import SegmentEntry
from rusts.engine.base import EngineBase
from rusts.engine.flush import SegmentFactory, flush_memtable
from rusts.engine.memory import anonymous_memory, return_unused
from rusts.engine.policydata import PolicyData, Sealed
from rusts.engine.segments import Segment
from rusts.errors import Corruption
from rusts.logging import get_logger
from rusts.memtable.memtable import Memtable

__all__ = ["Flushing"]

logger = get_logger("rusts.engine")

_SLACK: Final = 1.2
_BASELINE: Final = 80 << 20
"""What the process may hold before freed memory is given back: the accounted bytes times the one, plus the other."""


class Flushing(EngineBase):
    """See the module."""

    def _seal(self, data: PolicyData) -> None:
        """The active memtable takes no more points; the flush worker takes it. Under the write lock."""
        if data.active_start is None:
            return
        sealed = Sealed(data.active, data.active_start, self.log.end())
        (data.sealed if self._replayed.is_set() else data.waiting).append(sealed)
        data.active = Memtable()
        data.active_start = None
        self._flush_wanted.set()

    def _relieve(self) -> None:
        """Seal the largest memtable once all together pass half of the write buffer. Under the write lock.

        Not while another one waits for its flush: that would free nothing sooner, and make small segments.
        """
        buffer = self.budget.write_buffer
        if buffer.used <= buffer.limit // 2 or any(d.sealed or d.waiting for d in self.policies_data.values()):
            return
        self._seal(max(self.policies_data.values(), key=lambda d: d.active.nbytes))

    def _seal_aged(self) -> None:
        now = self.clock.monotonic()
        with self.write_lock:
            for data in self.policies_data.values():
                born = data.active.born
                if born is not None and now - born >= self.settings.flush_interval:
                    self._seal(data)

    def try_flush(self) -> bool:
        """Flush every sealed memtable; False if the disk did not take one.

        Its points stay in memory and in the log; a full disk may have room again later.
        """
        try:
            while self.flush_oldest():
                pass
        except (OSError, Corruption) as error:
            self.flush_error = str(error)
            logger.error("flush failed, will be tried again", error=str(error))
            return False
        self.flush_error = None
        return True

    def flush_oldest(self) -> bool:
        """Flush one sealed memtable: the first one of the policy that holds most. False if there is none."""
        with self._flush_lock:
            with self.write_lock:
                self._relieve()
                waiting = [d for d in self.policies_data.values() if d.sealed]
                if not waiting:
                    return False
                data = max(waiting, key=lambda d: d.sealed[0].memtable.nbytes)
                sealed = data.sealed[0]
            self.flush_sealed(data, sealed)
        del sealed  # so that its memory is free to be given back
        self._watch_memory()
        return True

    def flush_sealed(self, data: PolicyData, sealed: Sealed) -> None:
        """Segments of the memtable, one catalog transaction, then the log that it covers goes. Raises OSError."""
        owner = self.catalog.owner(data.database, data.policy)
        entries: list[SegmentEntry] = []
        committed = False
        if owner is not None:  # else the database was dropped meanwhile
            if sealed.entries is None:
                factory = SegmentFactory(self.files, self.directory, self.catalog, *owner)
                sealed.entries = flush_memtable(factory, sealed.memtable)
            entries = sealed.entries
            checkpoint = data.database, data.policy, sealed.end
            committed = self.catalog.commit(checkpoint=checkpoint, added=entries, removed=[])
            if not committed:
                entries = self._unlisted(entries)
        with self.write_lock:
            if data.sealed and data.sealed[0] is sealed:
                data.sealed.popleft()
                data.segments += [Segment(e, self.readers) for e in entries]
                self.budget.write_buffer.used -= sealed.memtable.nbytes
            else:
                # Dropped after its segments were listed, and with them.
                self._unlisted(entries)
        self.counters.flushes += 1
        logger.debug(
            "flushed",
            database=data.database,
            policy=data.policy,
            points=sealed.memtable.points,
            segments=len(entries),
            bytes=sum(e.bytes for e in entries),
        )
        if committed:
            # Only a commit brings the names to disk that the log has.
            self.release_log()

    def _unlisted(self, entries: list[SegmentEntry]) -> list[SegmentEntry]:
        """Have the files of segments removed that are no part of the catalog; an empty list."""
        self.readers.let_go.extend(entries)
        return []

    def release_log(self) -> None:
        """Remove the log files that nothing in memory needs any more."""
        with self.write_lock:
            if not self._replayed.is_set():
                return
            needed = [p for d in self.policies_data.values() if (p := d.oldest_position()) is not None]
            before = min(needed, default=self.log.end())
        self.log.release(before)

    def _restart_log(self) -> None:
        """After a failed sync: what is in memory goes to segments, since its log may not be on disk."""
        logger.error("the log could not be synced: flushing all points and starting a new log file")
        self._flush_all()
        self.log.recover_failure()

    def _flush_all(self) -> None:
        """Seal every memtable and flush them all. Raises OSError."""
        with self.write_lock:
            for data in self.policies_data.values():
                self._seal(data)
        while self.flush_oldest():
            pass

    def flush(self) -> None:
        """Put every point that is in memory now into segments. Raises OSError."""
        self.wait_replayed()
        self._flush_all()

    def _watch_memory(self) -> None:
        """Give freed memory back when the process holds much more than is accounted for."""
        accounted = self.cache.nbytes + self.budget.write_buffer.used + self.budget.query.used
        if anonymous_memory() > accounted * _SLACK + _BASELINE:
            return_unused()
