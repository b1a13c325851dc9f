"""A file holds the old text or the new one, whatever happens to who writes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from exporter.baseline.codec import dumps, loads
from exporter.baseline.files import LARGEST_BYTES, FileError, read_file, write_file
from tests.support.baselines import BASELINE
from tests.support.disk import full_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "baseline.json"


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def _names(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir()]


def _error(path: Path, error: pytest.ExceptionInfo[FileError]) -> str:
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message


def test_text_is_read_back_as_it_was_written(path: Path) -> None:
    for text in ("first\r\n", "zweitens ÄÖÜ 🐘\n", ""):
        write_file(path, text)
        assert read_file(path) == text
    assert _names(path) == [path.name]


def test_baseline_is_read_back_as_it_was_written(path: Path) -> None:
    write_file(path, dumps(BASELINE))
    assert loads(read_file(path)) == BASELINE


@pytest.mark.usefixtures("umask")
def test_file_is_for_its_owner_alone_whatever_the_umask_and_the_old_file(path: Path) -> None:
    write_file(path, "new")
    assert path.stat().st_mode & 0o7777 == 0o600
    path.chmod(0o644)
    write_file(path, "newer")
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.usefixtures("capsys")  # the log must not go to a file, which cannot grow either
def test_write_that_fails_leaves_the_old_file_and_no_other(path: Path) -> None:
    write_file(path, "old")
    with full_disk(), pytest.raises(FileError) as error:
        write_file(path, "new" * 10_000)
    assert "cannot be written: File too large" in _error(path, error)
    assert read_file(path) == "old"
    assert _names(path) == [path.name]


_WRITER = """
import itertools, sys
from pathlib import Path
from exporter.baseline.files import write_file

for number in itertools.count():
    write_file(Path(sys.argv[1]), f"{number} " * 200_000)
"""


def test_file_is_whole_whenever_it_is_read_and_wherever_its_writer_is_killed(path: Path) -> None:
    write_file(path, "0 " * 200_000)
    for _ in range(8):
        seen: set[str] = set()
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)]) as writer:
            try:
                while len(seen) < 20:
                    seen.add(_number(read_file(path)))
            finally:
                writer.kill()
        assert writer.returncode == -signal.SIGKILL
        _number(read_file(path))


def _number(text: str) -> str:
    """Return the one number that a whole file repeats."""
    words = text.split()
    assert len(words) == 200_000
    (number,) = set(words)
    return number


def test_neither_link_nor_device_is_replaced(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    path.symlink_to(target)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for taken in (path, pipe, tmp_path):
        with pytest.raises(FileError) as error:
            write_file(taken, "new")
        assert "not a regular file" in _error(taken, error)
    assert target.read_text() == "precious"
    assert path.is_symlink()
    assert pipe.is_fifo()


def test_place_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(FileError) as error:
        read_file(path)
    assert "cannot be read: No such file or directory" in _error(path, error)
    nowhere = path / "nowhere" / "baseline.json"
    with pytest.raises(FileError) as error:
        write_file(nowhere, "new")
    assert "cannot be written: No such file or directory" in _error(nowhere, error)


def test_file_too_large_to_be_one_is_not_read(path: Path) -> None:
    path.touch()
    os.truncate(path, LARGEST_BYTES)
    assert len(read_file(path)) == LARGEST_BYTES
    os.truncate(path, LARGEST_BYTES + 1)
    with pytest.raises(FileError) as error:
        read_file(path)
    assert "64 MiB" in _error(path, error)


def test_bytes_that_are_no_text_are_not_read(path: Path) -> None:
    path.write_bytes(b"secret \xff")
    with pytest.raises(FileError) as error:
        read_file(path)
    assert "not UTF-8" in _error(path, error)
    assert "secret" not in str(error.value)
