"""`baseline exclude`: a time is left out of the baseline that is there, or of the one to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.baseline.codec import dumps, loads
from exporter.baseline.fit import provenance_of
from exporter.catalog import load_catalog
from exporter.clock import Clock
from exporter.learning.build import build
from exporter.learning.document import KEY, TOPIC
from exporter.learning.exclusions import EXCLUSIONS
from exporter.learning.hours import LearnedHours
from exporter.settings import packaged_queries
from exporter.state import Scope, StateStore
from tests.support.commands import run
from tests.support.windows import FACTS, HOUR, MONDAY, OWNER, called, window

if TYPE_CHECKING:
    from pathlib import Path

DEPLOYMENT = load_catalog(packaged_queries()).deployment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a state that the command uses."""
    monkeypatch.setenv("LOOM_EXPORTER_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_NAME", "loom")
    return tmp_path


def people_of(store: StateStore) -> Scope:
    return store.scope("loom", DEPLOYMENT.name)


def freeze(folder: Path) -> None:
    """Leave a state with six hours, and the baseline that was made of them."""
    store = StateStore(folder / "state.sqlite3")
    scope = people_of(store).of(OWNER)
    hours = LearnedHours(Clock())
    hours.begin(scope)
    for number in range(6):
        hours.add(window(MONDAY + number * HOUR, called(0.1, class_name="mfa_status")))
    baseline = build(
        hours.reader(MONDAY + 6 * HOUR),
        DEPLOYMENT,
        bucket_seconds=HOUR,
        clock=Clock(),
        identity=provenance_of(FACTS, None),
        source="automatic",
        texts={},
        gauges=(),
    )
    hours.mark_used()
    assert store.save(scope, TOPIC, {KEY: dumps(baseline).encode()})
    store.close()


def kept(folder: Path) -> tuple[int, list[str]]:
    """Return the calls of the baseline in a state, and the reasons that people have given."""
    store = StateStore(folder / "state.sqlite3", read_only=True)
    people = people_of(store)
    document = store.read(people.of(OWNER), TOPIC, KEY)
    calls = sum(each.calls for each in loads(document.decode()).statements) if document else 0
    reasons = [each.reason for each in EXCLUSIONS.load(people).values()]
    store.close()
    return calls, reasons


def test_baseline_is_made_again_without_the_time_and_says_why(folder: Path) -> None:
    freeze(folder)
    assert kept(folder) == (6, [])
    done = run(
        *("baseline", "exclude", "2025-10-13T01:10Z", "2025-10-13T03:00Z"),
        *("--reason", "load test"),
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert "2025-10-13 01:00:00 to 2025-10-13 02:00:00: load test" in done.stdout
    assert kept(folder) == (4, ["load test"])


def test_time_is_remembered_for_the_baseline_to_come(folder: Path) -> None:
    done = run("baseline", "exclude", "2025-10-13T01:00Z", "2025-10-13T03:00Z")
    assert done.exit_code == 0
    assert done.stdout == "it will be left out when the baseline is made\n"
    assert kept(folder) == (0, ["excluded by hand"])


@pytest.mark.parametrize(
    ("times", "exit_code", "told"),
    [
        (("2025-10-13T01:00", "2025-10-13T03:00Z"), 2, "FROM: must be a date and time with a zone"),
        (("2025-10-13T03:00Z", "2025-10-13T03:00Z"), 2, "TO: must be later than FROM"),
        (("2025-10-12T00:00Z", "2025-10-14T03:00Z"), 1, "none of them would be left"),
    ],
)
def test_what_cannot_be_left_out_changes_nothing(
    folder: Path, times: tuple[str, str], exit_code: int, told: str
) -> None:
    freeze(folder)
    done = run("baseline", "exclude", *times)
    assert done.exit_code == exit_code
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert kept(folder) == (6, [])
