"""A state file of an older version: what people said and what was counted is kept, and it is told.

`state_version_3.sql` was written by the code of the last release that had no scopes.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from exporter.clock import Clock
from exporter.comparison.calls import COMPARISON
from exporter.comparison.sums import Sums
from exporter.deployment.history import AppliedMigrations, MigrationHistory, read_mark
from exporter.deployment.records import RECORDS, Outcome
from exporter.deployment.sign_offs import SIGN_OFFS
from exporter.learning.document import KEY, TOPIC
from exporter.learning.hours import HOURS
from exporter.state.lock import take_lock
from exporter.state.schema import SCHEMA_VERSION
from exporter.statements.counters import Key
from exporter.statements.persistence import load_tally, rules_of
from tests.support.state import look, opened, scope
from tests.support.windows import DEPLOYMENT, OWNER

if TYPE_CHECKING:
    from exporter.state import StateStore

VERSION_3 = Path(__file__).parents[1] / "support" / "state_version_3.sql"
BEGAN = 1760313600.0 + 6.5 * 3600

VERSION_1 = """
CREATE TABLE token (
    database TEXT NOT NULL, metric TEXT NOT NULL, labels TEXT NOT NULL, token TEXT NOT NULL,
    changed_at REAL, PRIMARY KEY (database, metric, labels)
) WITHOUT ROWID, STRICT;
CREATE TABLE watched (
    database TEXT NOT NULL, metric TEXT NOT NULL, PRIMARY KEY (database, metric)
) WITHOUT ROWID, STRICT;
INSERT INTO watched VALUES ('loom', 'loom_things_timestamp_seconds');
INSERT INTO token VALUES ('loom', 'loom_things_timestamp_seconds', '["a"]', 't1', 1000.0);
PRAGMA user_version = 1;
"""

VERSION_2 = f"""{VERSION_1}
CREATE TABLE document (
    database TEXT NOT NULL, topic TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (database, topic, name)
) WITHOUT ROWID, STRICT;
INSERT INTO document VALUES ('loom', 'sign-offs of orders', 'boss',
    '{{"name":"boss","approved":true,"by":"Ada","note":"","at":1.0}}');
PRAGMA user_version = 2;
"""


def _write(path: Path, script: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.executescript(script)
    return path


@pytest.fixture
def old(path: Path) -> Path:
    return _write(path, VERSION_3.read_text())


def _version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as file:
        found: int = file.execute("PRAGMA user_version").fetchone()[0]
        return found


def _assert_kept(store: StateStore) -> None:
    """Look whether everything is there that could not be had again."""
    people = scope(store)
    assert {key: said.approved for key, said in SIGN_OFFS.load(people).items()} == {"boss": False}
    assert RECORDS.load(people)["numbers_day_1"].outcome is Outcome.PASS
    assert read_mark(people) == BEGAN + 30
    progress = MigrationHistory(people, DEPLOYMENT, Clock()).record(
        OWNER, AppliedMigrations({"1": None}, time.time())
    )
    assert progress.is_complete
    assert progress.rewritten_at is None
    observed = people.of(OWNER)
    document = json.loads(store.read(observed, TOPIC, KEY) or b"")
    assert (document["schema"], document["deployment"]) == ("loom-exporter.baseline/1", "orders")
    sums = COMPARISON.read(observed, "sums")
    assert sums is not None
    assert sums.matched == {("invoices", "anon"): pytest.approx(Sums(2, 0.4, 0.5), abs=0.2)}
    assert sums.since.at == BEGAN + 1800
    for database in ("loom", "shop"):
        rules = rules_of(DEPLOYMENT, show=True)
        restored = load_tally(scope(store, database, OWNER), OWNER, rules)
        assert restored is not None
        tally, _ = restored
        assert {place: totals.calls for place, totals in tally.totals.items()} == {
            ("invoices", "anon"): 3
        }
        assert tally.pending.keys() == {Key(11, 5, -2)}
        assert tally.poll is not None
        assert {key.query: reading.calls for key, reading in tally.poll.readings.items()} == {
            1: 4,
            -2: 7,
        }
    assert look(store, "t1") == 1000.5
    assert look(store, "t2", label="b") is not None


def test_what_could_not_be_had_again_is_kept_and_the_rest_is_told_in_one_line(old: Path) -> None:
    with capture_logs() as logs, opened(old, owner=True) as store:
        _assert_kept(store)
        assert HOURS.keys(scope(store, "shop", OWNER)) == []
    (line,) = [each for each in logs if "older version" in each["event"]]
    assert line["dropped"] == {"baseline hours": 8}
    assert "other names" in line["reason"]
    assert _version(old) == SCHEMA_VERSION
    with capture_logs() as logs, opened(old, owner=True) as store:
        _assert_kept(store)
    assert logs == []


def test_command_reads_an_older_file_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    with opened(old, read_only=True) as store:
        _assert_kept(store)
    assert old.read_bytes() == before


def test_command_brings_an_older_file_up_to_date_but_not_under_its_daemon(old: Path) -> None:
    with contextlib.closing(take_lock(old)), opened(old) as command:
        assert command.problem is not None
        assert "of an older version, and in use by another" in command.problem
        assert _version(old) == 3
    with opened(old) as command:
        assert command.problem is None
        _assert_kept(command)
    assert _version(old) == SCHEMA_VERSION


def test_process_that_is_killed_at_it_leaves_the_older_file(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from exporter.state import StateStore;"
        "print(flush=True); StateStore(Path(sys.argv[1]), owner=True)"
    )
    for milliseconds in range(0, 12, 2):
        path.unlink(missing_ok=True)
        _write(path, VERSION_3.read_text())
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(milliseconds / 1000)
            process.send_signal(signal.SIGKILL)
        with opened(path, owner=True) as store:
            assert store.problem is None
            _assert_kept(store)


def test_documents_that_cannot_be_understood_are_dropped_and_told(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old)) as file:
        file.execute(
            "UPDATE document SET content = '[1]' WHERE topic IN ('comparison', 'baseline')"
        )
        file.execute("UPDATE document SET content = '{' WHERE name = 'tally'")
        file.commit()
    with capture_logs() as logs, opened(old, owner=True) as store:
        assert SIGN_OFFS.load(scope(store)).keys() == {"boss"}
        assert store.read(scope(store, "loom", OWNER), TOPIC, KEY) is None
        assert store.problem is None
    (line,) = [each for each in logs if "older version" in each["event"]]
    assert line["dropped"] == {
        "baseline": 1,
        "baseline hours": 8,
        "comparison": 1,
        "statements": 6,
    }


@pytest.mark.parametrize("owner", [False, True])
@pytest.mark.parametrize(("script", "signed"), [(VERSION_1, 0), (VERSION_2, 1)])
def test_still_older_file_keeps_what_it_knows(
    path: Path, script: str, signed: int, owner: bool
) -> None:
    _write(path, script)
    with opened(path, read_only=True) as store:
        assert look(store, "t1") == 1000.0
    with opened(path, owner=owner) as store:
        assert look(store, "t1") == 1000.0
        assert len(SIGN_OFFS.load(scope(store))) == signed
        assert store.problem is None
    assert _version(path) == SCHEMA_VERSION
