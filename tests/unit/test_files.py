"""The verbs on files, the same cases on the real disk and on the simulated one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rusts import files as files_module
from rusts.errors import DirectoryLocked
from rusts.files import Files, OsFiles, is_full
from tests.support.disk import SimulatedDisk


@pytest.fixture(params=["os", "simulated"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, str]:
    """Files, and a directory that exists."""
    if request.param == "os":
        return OsFiles(), str(tmp_path)
    disk = SimulatedDisk()
    disk.make_dir("data")
    return disk, "data"


def put(files: Files, path: str, data: bytes) -> None:
    file = files.create(path)
    file.write(data)
    file.sync()
    file.close()


def test_a_file_grows_at_its_end(place: tuple[Files, str]) -> None:
    files, root = place
    path = f"{root}/a"
    file = files.create(path)
    assert file.path == path
    assert file.write(b"one") == 3
    assert file.write(b"two", memoryview(b"three"), np.array([1], dtype=np.uint16), b"") == 10
    assert file.tell() == files.size(path) == 13
    file.sync()
    file.close()
    file.close()
    assert files.read(path) == b"onetwothree\x01\x00"
    again = files.append(path)
    assert again.tell() == 13
    again.truncate(6)
    assert again.tell() == 6
    again.write(b"!")
    again.close()
    assert files.read(path) == b"onetwo!"


def test_many_parts_are_one_write(place: tuple[Files, str]) -> None:
    files, root = place
    parts = [bytes([n % 256]) * 3 for n in range(3000)]
    file = files.create(f"{root}/a")
    assert file.write(*parts) == 9000
    file.close()
    assert files.read(f"{root}/a") == b"".join(parts)


def test_reads_end_with_the_file(place: tuple[Files, str]) -> None:
    files, root = place
    put(files, f"{root}/a", b"0123456789")
    file = files.open(f"{root}/a")
    assert (file.path, file.size()) == (f"{root}/a", 10)
    assert [file.pread(4, 0), file.pread(4, 8), file.pread(4, 10), file.pread(0, 3)] == [b"0123", b"89", b"", b""]
    files.remove(f"{root}/a")
    assert file.pread(2, 4) == b"45"  # a reader keeps what it has opened
    file.close()
    file.close()
    with pytest.raises(OSError, match=r"(?i)bad file descriptor|closed"):
        file.pread(1, 0)


def test_names(place: tuple[Files, str]) -> None:
    files, root = place
    assert files.list_dir(root) == []
    put(files, f"{root}/b", b"")
    put(files, f"{root}/a", b"")
    files.make_dir(f"{root}/c/d/e")
    files.make_dir(f"{root}/c/d")
    assert files.list_dir(root) == ["a", "b", "c"]
    assert files.list_dir(f"{root}/c/d") == ["e"]
    assert files.exists(f"{root}/c/d")
    assert files.exists(f"{root}/a")
    files.remove(f"{root}/a")
    files.sync_dir(root)
    assert not files.exists(f"{root}/a")


def test_what_is_missing_or_there_already(place: tuple[Files, str]) -> None:
    files, root = place
    for act in (files.open, files.append, files.read, files.size, files.remove, files.list_dir):
        with pytest.raises(FileNotFoundError):
            act(f"{root}/none")
    with pytest.raises(FileNotFoundError):
        files.create(f"{root}/none/a")
    put(files, f"{root}/a", b"x")
    with pytest.raises(FileExistsError):
        files.create(f"{root}/a")
    assert files.read(f"{root}/a") == b"x"


def test_publish_replaces(place: tuple[Files, str]) -> None:
    files, root = place
    put(files, f"{root}/a", b"old")
    put(files, f"{root}/a.tmp", b"new")
    files.publish(f"{root}/a.tmp", f"{root}/a")
    assert files.list_dir(root) == ["a"]
    assert files.read(f"{root}/a") == b"new"
    files.make_dir(f"{root}/away")
    files.publish(f"{root}/a", f"{root}/away/a")
    assert files.list_dir(root) == ["away"]
    assert files.read(f"{root}/away/a") == b"new"


def test_write_atomic_replaces_and_removes_what_a_crash_left(place: tuple[Files, str]) -> None:
    files, root = place
    put(files, f"{root}/a.tmp", b"half")
    files.write_atomic(f"{root}/a", b"one")
    files.write_atomic(f"{root}/a", b"two")
    assert files.list_dir(root) == ["a"]
    assert files.read(f"{root}/a") == b"two"


def test_free_space(place: tuple[Files, str]) -> None:
    files, root = place
    free, total = files.free_space(root)
    assert 0 < free <= total


def test_one_lock_at_a_time(place: tuple[Files, str]) -> None:
    files, root = place
    lock = files.lock(root)
    with pytest.raises(DirectoryLocked) as caught:
        files.lock(root)
    assert caught.value.pid == os.getpid()
    lock.release()
    lock.release()
    files.lock(root).release()


def test_another_process_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from rusts.files import OsFiles; OsFiles().lock(sys.argv[1]); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryLocked) as caught:
            OsFiles().lock(str(tmp_path))
        assert caught.value.pid == holder.pid
        holder.kill()
        holder.wait()
    OsFiles().lock(str(tmp_path)).release()  # a lock dies with its process


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write, real_writev = os.write, os.writev
    monkeypatch.setattr(files_module.os, "write", lambda fd, data: real_write(fd, memoryview(data).cast("B")[:3]))
    monkeypatch.setattr(files_module.os, "writev", lambda fd, parts: real_writev(fd, [memoryview(parts[0])[:2]]))
    file = OsFiles().create(str(tmp_path / "a"))
    assert file.write(b"0123456789") == 10
    assert file.write(b"abcd", b"efg", np.arange(2, dtype=np.uint32)) == 15
    assert file.tell() == 25
    file.close()
    assert (tmp_path / "a").read_bytes() == b"0123456789abcdefg" + np.arange(2, dtype=np.uint32).tobytes()


def test_tell_counts_what_an_error_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    calls = []

    def write(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "full")
        return real_write(fd, bytes(data)[:4])

    monkeypatch.setattr(files_module.os, "write", write)
    file = OsFiles().create(str(tmp_path / "a"))
    with pytest.raises(OSError, match="full") as caught:
        file.write(b"0123456789")
    assert is_full(caught.value)
    assert file.tell() == 4
    file.truncate(0)
    assert (tmp_path / "a").read_bytes() == b""
    file.close()


def test_long_reads_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    real_pread = os.pread
    monkeypatch.setattr(files_module.os, "pread", lambda fd, size, at: real_pread(fd, min(size, 4), at))
    file = OsFiles().open(str(tmp_path / "a"))
    assert file.pread(9, 1) == b"123456789"
    assert file.pread(100, 2) == b"23456789"
    file.close()


def test_a_failed_write_atomic_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = OsFiles()
    path = str(tmp_path / "a")
    files.write_atomic(path, b"old")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(files_module.os, "fdatasync", fail)
    with pytest.raises(OSError, match="no"):
        files.write_atomic(path, b"new")
    assert files.list_dir(str(tmp_path)) == ["a"]
    assert files.read(path) == b"old"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    files = OsFiles()
    files.make_dir(str(tmp_path / "d"))
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        path = str(tmp_path / "d" / str(number))
        files.write_atomic(path, b"x")
        files.create(path + ".b")  # closed when it is dropped
        files.read(path)
        files.lock(str(tmp_path / "d")).release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_full_is_not_broken() -> None:
    assert is_full(OSError(errno.ENOSPC, ""))
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EIO, ""))


def test_sqlite_goes_its_own_way() -> None:
    assert OsFiles().sqlite_vfs() == ""
