"""What people say is kept, and only what is theirs to say is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.deployment.people import append
from exporter.deployment.records import Outcome
from exporter.deployment.sign_offs import SIGN_OFFS, load_sign_offs, sign, signable
from exporter.errors import UsageError
from exporter.state import DamagedError, StateStore
from exporter.verdict.by_hand import judge_by_hand
from tests.support.judging import make_deployment
from tests.support.state import save, scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.verdict.condition_result import ConditionResult

DEPLOYMENT = make_deployment("""
criteria:
  numbers: {title: Numbers are right, conditions: [{metric: loom_number, equals: 0}]}
  people: {title: People are happy, manual: true}
plan:
  - {after: 1d, title: First, checks: {numbers_day_1: {title: Numbers, criteria: [numbers]}}}
  - {after: 2d, title: Second, checks: {people_day_2: {title: People, manual: true}}}
sign_offs:
  boss: {title: The boss agrees}
""")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.sqlite3")
    yield store
    store.close()


def test_what_people_judge_can_be_signed_and_nothing_else() -> None:
    assert signable(DEPLOYMENT) == {
        "people": "People are happy",
        "people_day_2": "People",
        "boss": "The boss agrees",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("numbers", "numbers: the exporter judges this by itself"),
        ("numbers_day_1", "numbers_day_1: the exporter judges this by itself"),
        ("peopel", "peopel: there is nothing of that name to sign; did you mean people?"),
        ("x", "x: there is nothing of that name to sign; known are people, people_day_2, boss"),
    ],
)
def test_sign_off_of_anything_else_is_refused(name: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        sign(DEPLOYMENT, name, by="Ada", at=1.0)
    assert str(raised.value).startswith(reason)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("by", "note", "reason"),
    [
        ("", "", "sign-off: by: "),
        ("   ", "", "sign-off: by: "),
        ("A" * 101, "", "sign-off: by: "),
        ("Ada\nEve", "", "sign-off: by: must be printable text on one line"),
        ("Ada", "n" * 501, "sign-off: note: "),
        ("Ada", "\x1b[2J", "sign-off: note: must be printable text on one line"),
    ],
)
def test_text_that_would_not_fit_a_report_is_refused(by: str, note: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        sign(DEPLOYMENT, "boss", by=by, note=note, at=1.0)
    assert str(raised.value).startswith(reason)


def test_no_word_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    yes = sign(DEPLOYMENT, "boss", by=" Ada ", note="ü | `x`", at=1000.5)
    no = sign(DEPLOYMENT, "boss", by="Eve", at=2000.0, approved=False)
    people = sign(DEPLOYMENT, "people", by="Ada", at=1.0)
    for given in ([yes, people], [no]):
        store = StateStore(path)
        assert all(append(SIGN_OFFS, scope(store), each, each.name) for each in given)
        store.close()
    store = StateStore(path, read_only=False)
    assert load_sign_offs(scope(store)) == {"boss": [yes, no], "people": [people]}
    assert load_sign_offs(scope(store, "another")) == {}
    store.close()
    assert yes.by == "Ada"


def test_what_one_rejects_no_other_approves() -> None:
    def said(*words: tuple[str, bool]) -> ConditionResult:
        signed = [
            sign(DEPLOYMENT, "boss", by=by, at=1000.0 + index, approved=approved)
            for index, (by, approved) in enumerate(words)
        ]
        return judge_by_hand("boss", "all", signed)

    assert said(("Ada", True)).outcome is Outcome.PASS
    rejected = said(("Ada", False), ("Eve", True))
    assert rejected.outcome is Outcome.FAIL
    assert "rejected by Ada" in rejected.evidence
    assert "approved by Eve" in rejected.evidence
    mended = said(("Ada", False), ("Eve", True), ("Ada", True))
    assert mended.outcome is Outcome.PASS
    assert "earlier: rejected by Ada" in mended.evidence


def test_sign_off_that_cannot_be_read_is_an_error_and_not_missing(store: StateStore) -> None:
    good = sign(DEPLOYMENT, "people", by="Ada", at=1.0)
    assert append(SIGN_OFFS, scope(store), good, good.name)
    save(store, SIGN_OFFS.name, {"boss": '{"approved": true}'})
    with pytest.raises(DamagedError, match=r"sign-offs is damaged \(boss\).*sqlite3 FILE"):
        load_sign_offs(scope(store))
