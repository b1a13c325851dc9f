"""Documents: read back by topic, in part or whole, and followed from other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.disk import full_disk
from tests.support.state import opened

if TYPE_CHECKING:
    from pathlib import Path


def test_documents_are_read_back_by_database_and_topic(path: Path) -> None:
    with opened(path) as store:
        assert store.save("loom", "things", {"a": "1", "b": "2"})
        assert store.save("loom", "others", {"a": "3"})
        assert store.save("other", "things", {"a": "4"})
        assert store.save("loom", "things", {"a": None, "c": "5"})
    with opened(path) as store:
        assert store.load("loom", "things") == {"b": "2", "c": "5"}
        assert store.save("loom", "things", {"d": "6"}, replace=True)
        assert store.load("loom", "things") == {"d": "6"}
        assert store.load("loom", "others") == {"a": "3"}
        assert store.load("other", "things") == {"a": "4"}


@pytest.mark.usefixtures("capsys")  # the log must not go to a file, which cannot grow either
def test_documents_that_cannot_be_written_are_told_of(path: Path) -> None:
    with opened(path, owner=True) as store:
        assert store.save("loom", "things", {"a": "1"})
        with full_disk():
            assert not store.save("loom", "things", {"a": "2" * 100_000, "b": "2"})
        problem = store.problem
        assert problem is not None
        assert str(path) in problem
        assert store.load("loom", "things") == {"a": "1"}, "all of them or none"
        assert store.save("loom", "things", {"a": "3"})
        assert not store.problem
    with opened(path, read_only=True) as store:
        assert not store.save("loom", "things", {"a": "4"})


def test_version_grows_with_each_save_whoever_saves(path: Path) -> None:
    with opened(path, owner=True) as daemon, opened(path) as command:
        assert daemon.version("loom", "things") == 0
        assert daemon.save("loom", "things", {"a": "1"})
        first = daemon.version("loom", "things")
        assert first
        assert daemon.version("loom", "things") == first, "asking changes nothing"
        assert command.save("loom", "things", {"b": "2"})
        second = daemon.version("loom", "things")
        assert second
        assert second > first
        assert daemon.load("loom", "things") == {"a": "1", "b": "2"}
        assert command.save("loom", "things", {"b": "2"})
        assert (daemon.version("loom", "things") or 0) > second, "be it that nothing changed"
        assert daemon.version("loom", "others") == 0
        assert daemon.version("other", "things") == 0


def test_version_of_a_file_that_was_lost_and_made_anew_is_another(path: Path) -> None:
    with opened(path, owner=True) as daemon:
        assert daemon.save("loom", "things", {"a": "1"})
        before = daemon.version("loom", "things")
        path.unlink()
        with opened(path) as command:
            assert command.save("loom", "things", {"a": "2"})
        assert daemon.version("loom", "things") not in (before, 0)


def test_version_is_none_where_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with opened(tmp_path / "file" / "state.sqlite3") as store:
        assert store.version("loom", "things") is None
        assert not store.save("loom", "things", {"a": "1"})
        assert store.problem is not None
        assert str(store.path) in store.problem


def test_part_of_a_topic_is_refused_once_where_the_rest_was_lost(path: Path) -> None:
    with opened(path, owner=True) as store:
        assert store.save("loom", "things", {"a": "1", "b": "2"})
        path.unlink()
        assert not store.save("loom", "things", {"b": "3"})
        assert store.problem is not None
        assert "things" in store.problem
        assert store.save("loom", "things", {"a": "1", "b": "3"}, replace=True)
        assert not store.problem
        assert store.save("loom", "things", {"b": "4"})
        assert store.save("loom", "others", {"c": "5"}), "of this one nothing was lost"
    with opened(path) as store:
        assert store.load("loom", "things") == {"a": "1", "b": "4"}


def test_part_of_a_topic_that_was_loaded_is_refused_too(path: Path) -> None:
    with opened(path) as store:
        assert store.save("loom", "things", {"a": "1"})
    with opened(path, owner=True) as store:
        assert store.load("loom", "things") == {"a": "1"}
        path.unlink()
        assert not store.save("loom", "things", {"b": "2"})


def test_document_that_is_no_text_is_told_and_not_quoted(path: Path) -> None:
    with opened(path) as store:
        assert store.save("loom", "things", {"a": "a note of somebody"})
        assert store.save("loom", "others", {"b": "2"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"note of", b"note\xff\xff\xff"))
    with opened(path, owner=True) as store:
        assert store.load("loom", "things") == {}
        assert store.problem is not None
        assert "0xff" in store.problem
        assert "somebody" not in store.problem
        assert store.load("loom", "others") == {"b": "2"}, "all the rest is kept"
