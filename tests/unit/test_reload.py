"""What is read from files: a change is in force when it can be used, else nothing changes."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
import structlog

from exporter import reload
from exporter.errors import UsageError
from exporter.reload import Reloaded, stamp_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


def _read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        raise UsageError(f"{path}: not a number") from None


def _number(path: Path) -> Reloaded[int]:
    return Reloaded("number", partial(stamp_of, [path]), partial(_read, path))


def _is_refused(number: Reloaded[int]) -> bool:
    return number.problem is not None


def test_first_one_must_be_good(path: Path) -> None:
    path.write_text("one")
    with pytest.raises(UsageError, match="not a number"):
        _number(path)


def test_change_is_seen_at_the_next_look(path: Path) -> None:
    number = _number(path)
    path.write_text("2")
    assert number.latest == 1
    assert number.read() == number.latest == 2


@pytest.mark.parametrize("content", ["", "two"])
def test_last_good_one_stays_and_the_fault_is_told_once(path: Path, content: str) -> None:
    number = _number(path)
    loaded_at = number.loaded_at
    path.write_text(content)
    with structlog.testing.capture_logs() as logs:
        assert [number.read(), number.read()] == [1, 1]
        os.utime(path)  # another change, the same fault
        assert number.read() == 1
    assert [(log["log_level"], log["reason"]) for log in logs] == [
        ("error", f"{path}: not a number")
    ]
    assert _is_refused(number)
    assert number.loaded_at == loaded_at
    path.write_text("3")
    assert number.read() == 3
    assert not _is_refused(number)
    assert number.loaded_at >= loaded_at


def test_file_that_is_taken_away_is_a_fault_too(path: Path) -> None:
    number = _number(path)
    path.unlink()
    assert number.read() == 1
    assert number.problem


def test_what_was_refused_is_tried_again_without_a_change(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "_RETRY_SECONDS", 0.0)
    usable = True

    def load() -> int:
        if not usable:
            raise UsageError("not now")
        return _read(path)

    number = Reloaded("number", partial(stamp_of, [path]), load)
    usable = False
    path.write_text("2")
    assert number.read() == 1
    usable = True
    assert number.read() == 2


def test_fault_of_ours_changes_nothing_either(path: Path) -> None:
    faulty = False

    def load() -> int:
        return 1 // (not faulty)

    number = Reloaded("number", partial(stamp_of, [path]), load)
    faulty = True
    path.write_text("2")
    assert number.read() == 1
    assert number.problem == "ZeroDivisionError"


def test_nothing_is_read_while_nothing_changes(path: Path) -> None:
    loads = []
    number = Reloaded("number", partial(stamp_of, [path]), lambda: loads.append(_read(path)))
    for _ in range(3):
        number.read()
    assert loads == [1]


def test_swap_of_the_link_of_a_mounted_folder_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes replaces the content of a ConfigMap or a Secret."""
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "number").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "number").symlink_to("..data/number")
    number = _number(tmp_path / "number")
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert number.read() == 2


def test_change_of_the_same_size_with_the_old_date_is_a_change(path: Path) -> None:
    number = _number(path)
    before = path.stat()
    path.with_suffix(".new").write_text("2")
    os.utime(path.with_suffix(".new"), ns=(before.st_atime_ns, before.st_mtime_ns))
    path.with_suffix(".new").rename(path)
    assert number.read() == 2
