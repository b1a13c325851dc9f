"""Documents: read back by topic, in part or whole, and followed from other processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.database.identity import DatabaseIdentity
from exporter.state import StateStore, Table, Topic
from tests.support.disk import full_disk
from tests.support.state import load, opened, save, scope, version


def test_documents_are_read_back_by_database_and_topic(path: Path) -> None:
    with opened(path) as store:
        assert save(store, "things", {"a": "1", "b": "2"})
        assert save(store, "others", {"a": "3"})
        assert save(scope(store, "other"), "things", {"a": "4"})
        assert save(store, "things", {"a": None, "c": "5"})
    with opened(path) as store:
        assert load(store, "things") == {"b": "2", "c": "5"}
        assert save(store, "things", {"d": "6"}, replace=True)
        assert load(store, "things") == {"d": "6"}
        assert load(store, "others") == {"a": "3"}
        assert load(scope(store, "other"), "things") == {"a": "4"}


@pytest.mark.usefixtures("capsys")  # the log must not go to a file, which cannot grow either
def test_documents_that_cannot_be_written_are_told_of(path: Path) -> None:
    with opened(path, owner=True) as store:
        assert save(store, "things", {"a": "1"})
        with full_disk():
            assert not save(store, "things", {"a": "2" * 100_000, "b": "2"})
        problem = store.problem
        assert problem is not None
        assert str(path) in problem
        assert load(store, "things") == {"a": "1"}, "all of them or none"
        assert save(store, "things", {"a": "3"})
        assert not store.problem
    with opened(path, read_only=True) as store:
        assert not save(store, "things", {"a": "4"})


def test_version_grows_with_each_save_whoever_saves(path: Path) -> None:
    with opened(path, owner=True) as daemon, opened(path) as command:
        assert version(daemon, "things") == 0
        assert save(daemon, "things", {"a": "1"})
        first = version(daemon, "things")
        assert first
        assert version(daemon, "things") == first, "asking changes nothing"
        assert save(command, "things", {"b": "2"})
        second = version(daemon, "things")
        assert second
        assert second > first
        assert load(daemon, "things") == {"a": "1", "b": "2"}
        assert save(command, "things", {"b": "2"})
        assert (version(daemon, "things") or 0) > second, "be it that nothing changed"
        assert version(daemon, "others") == 0
        assert version(scope(daemon, "other"), "things") == 0


def test_version_of_a_file_that_was_lost_and_made_anew_is_another(path: Path) -> None:
    with opened(path, owner=True) as daemon:
        assert save(daemon, "things", {"a": "1"})
        before = version(daemon, "things")
        path.unlink()
        with opened(path) as command:
            assert save(command, "things", {"a": "2"})
        assert version(daemon, "things") not in (before, 0)


def test_version_is_none_where_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with opened(tmp_path / "file" / "state.sqlite3") as store:
        assert version(store, "things") is None
        assert not save(store, "things", {"a": "1"})
        assert store.problem is not None
        assert str(store.path) in store.problem


def test_part_of_a_topic_is_refused_once_where_the_rest_was_lost(path: Path) -> None:
    with opened(path, owner=True) as store:
        assert save(store, "things", {"a": "1", "b": "2"})
        path.unlink()
        assert not save(store, "things", {"b": "3"})
        assert store.problem is not None
        assert "things" in store.problem
        assert save(store, "things", {"a": "1", "b": "3"}, replace=True)
        assert not store.problem
        assert save(store, "things", {"b": "4"})
        assert save(store, "others", {"c": "5"}), "of this one nothing was lost"
    with opened(path) as store:
        assert load(store, "things") == {"a": "1", "b": "4"}


def test_part_of_a_topic_that_was_loaded_is_refused_too(path: Path) -> None:
    with opened(path) as store:
        assert save(store, "things", {"a": "1"})
    with opened(path, owner=True) as store:
        assert load(store, "things") == {"a": "1"}
        path.unlink()
        assert not save(store, "things", {"b": "2"})


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────

ONE = DatabaseIdentity("loom", 5, "7000")
OTHERS = [
    DatabaseIdentity("loom", 6, "7000"),
    DatabaseIdentity("shop", 5, "7000"),
    DatabaseIdentity("loom", 5, "7001"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_database_has_documents_of_its_own_and_going_back_finds_the_first(
    path: Path, other: DatabaseIdentity
) -> None:
    with opened(path) as store:
        assert save(scope(store), "things", {"a": "said"})
        for round in range(3):
            for number, identity in enumerate((ONE, other)):
                of = scope(store, identity=identity)
                assert load(of, "things") == ({"a": f"{number} {round - 1}"} if round else {})
                assert save(of, "things", {"a": f"{number} {round}"})
        assert load(scope(store), "things") == {"a": "said"}
        assert list(store.elsewhere(scope(store, identity=ONE), "things")) == [other]
        assert list(store.elsewhere(scope(store), "things")) == [other, ONE], "the last is first"


def test_database_is_the_same_whether_or_not_its_system_identifier_may_be_read(path: Path) -> None:
    unknown = ONE._replace(system=None)
    with opened(path) as store:
        assert save(scope(store, identity=unknown), "things", {"a": "1"})
        assert load(scope(store, identity=ONE), "things") == {"a": "1"}
        assert save(scope(store, identity=ONE), "things", {"b": "2"})
        assert load(scope(store, identity=unknown), "things") == {"a": "1", "b": "2"}
        other = ONE._replace(system="7001")
        assert load(scope(store, identity=other), "things") == {}, "by now it is known"


def test_deployments_and_labels_have_scopes_of_their_own(path: Path) -> None:
    with opened(path) as store:
        one = store.scope("loom", "orders")
        others = [store.scope("loom", "shop"), store.scope("shop", "orders")]
        assert save(one.of(ONE), "things", {"a": "1"})
        assert [load(other.of(ONE), "things") for other in others] == [{}, {}]
        assert store.elsewhere(others[0], "things") == {}


# ── types ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Thing:
    at: datetime
    sizes: Table[tuple[str, int], float]
    note: str | None = None


THINGS: Topic[Thing] = Topic("things", Thing)


@given(
    st.builds(
        Thing,
        st.datetimes(timezones=st.just(UTC)),
        st.dictionaries(
            st.tuples(st.text(), st.integers()), st.floats(allow_nan=False, allow_infinity=False)
        ),
        st.none() | st.text(),
    )
)
def test_document_comes_back_as_it_was(thing: Thing) -> None:
    nowhere = scope(StateStore(Path("/nonexistent"), read_only=True))
    assert THINGS.decoded(nowhere, "a", THINGS.encoded(thing)) == thing


@pytest.mark.parametrize("text", ["", "{", "3", "{}", '{"at": 3, "sizes": [[1]]}', '{"sizes": 3}'])
def test_document_that_cannot_be_understood_counts_as_missing_and_is_told_once(
    path: Path, text: str
) -> None:
    good = Thing(datetime(2025, 10, 13, tzinfo=UTC), {("a", 1): 2.0})
    things: Topic[Thing] = Topic("things", Thing)
    with opened(path) as store, capture_logs() as logs:
        assert things.save(scope(store), {"b": good})
        assert save(store, "things", {"a": text})
        for _ in range(3):
            assert things.load(scope(store)) == {"b": good}
            assert things.read(scope(store), "a") is None
        assert things.read(scope(store), "c") is None
        assert store.problem is None
    (line,) = logs
    assert (line["topic"], line["key"]) == ("things", "a")


@pytest.mark.parametrize("spoilt", [b"note\xff\xff\xff", b"mote of"])
def test_document_with_a_changed_byte_counts_as_missing_and_is_not_quoted(
    path: Path, spoilt: bytes
) -> None:
    topic: Topic[str] = Topic("things", str)
    with opened(path) as store:
        assert topic.save(scope(store), {"a": "a note of somebody", "b": "2"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"note of", spoilt))
    with opened(path, owner=True) as store, capture_logs() as logs:
        assert topic.load(scope(store)) == {"b": "2"}, "all the rest is kept"
        assert store.problem is None
        assert topic.save(scope(store), {"a": "3"})
        assert topic.load(scope(store)) == {"a": "3", "b": "2"}
    (line,) = logs
    assert "somebody" not in str(line)
