"""What people say is kept, and only what is theirs to say is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.deployment.sign_offs import (
    SIGN_OFFS,
    SignOffError,
    sign,
    signable,
)
from exporter.state import StateStore
from tests.support.judging import make_deployment
from tests.support.state import save, scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPLOYMENT = make_deployment("""
criteria:
  numbers: {title: Numbers are right, conditions: [{metric: loom_number, equals: 0}]}
  people: {title: People are happy, manual: true}
first_week:
  1: {title: First, checks: {numbers_day_1: {title: Numbers, criteria: [numbers]}}}
  2: {title: Second, checks: {people_day_2: {title: People, manual: true}}}
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
    with pytest.raises(SignOffError) as raised:
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
    with pytest.raises(SignOffError) as raised:
        sign(DEPLOYMENT, "boss", by=by, note=note, at=1.0)
    assert str(raised.value).startswith(reason)


def test_sign_off_outlives_the_process_and_the_newer_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    yes = sign(DEPLOYMENT, "boss", by=" Ada ", note="ü | `x`", at=1000.5)
    no = sign(DEPLOYMENT, "boss", by="Eve", at=2000.0, approved=False)
    people = sign(DEPLOYMENT, "people", by="Ada", at=1.0)
    for given in ([yes, people], [no]):
        store = StateStore(path)
        assert all(SIGN_OFFS.save(scope(store), {each.name: each}) for each in given)
        store.close()
    store = StateStore(path, read_only=False)
    assert SIGN_OFFS.load(scope(store)) == {"boss": no, "people": people}
    assert SIGN_OFFS.load(scope(store, "another")) == {}
    store.close()
    assert yes.by == "Ada"


def test_sign_off_that_cannot_be_read_is_none(store: StateStore) -> None:
    good = sign(DEPLOYMENT, "people", by="Ada", at=1.0)
    SIGN_OFFS.save(scope(store), {good.name: good})
    save(store, SIGN_OFFS.name, {"boss": '{"approved": true}', "other": "no JSON"})
    assert SIGN_OFFS.load(scope(store)) == {"people": good}
