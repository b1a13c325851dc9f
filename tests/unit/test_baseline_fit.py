"""A baseline is used for the database that it is of, and for no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from exporter.baseline.codec import Refusal, RefusedError, dumps, loads
from exporter.baseline.fit import adopted, check_fits, provenance_of
from exporter.database.facts import ServerFacts
from tests.support.baselines import BASELINE, IDENTITY

RULES = IDENTITY.classes_sha256
FACTS = ServerFacts(
    system_identifier=IDENTITY.system_identifier,
    database_oid=IDENTITY.database_oid,
    database_name=IDENTITY.database_name,
    server_version_num=IDENTITY.server_version_num,
    postmaster_start=IDENTITY.postmaster_start,
    settings=IDENTITY.settings,
    planner_sha256=IDENTITY.planner_sha256,
    extension_version=IDENTITY.extension_version,
    extension_schema=IDENTITY.extension_schema,
)
ELSEWHERE = replace(FACTS, system_identifier="1", database_oid=5, database_name="copy")


def _facts(**changes: Any) -> ServerFacts:
    """Return the facts of another database; `track` and the like are settings."""
    settings = dict(FACTS.settings)
    for name in set(changes) - set(FACTS.__slots__):
        value = changes.pop(name)
        if value is None:
            del settings[f"pg_stat_statements.{name}"]
        else:
            settings[f"pg_stat_statements.{name}"] = value
    return replace(FACTS, **changes, settings=settings)


def _refusal(facts: ServerFacts, deployment: str = "orders") -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        check_fits(BASELINE, facts, deployment, RULES)
    assert len(str(refused.value).splitlines()) == 1
    return refused.value


def test_baseline_fits_where_it_was_measured() -> None:
    assert provenance_of(FACTS, RULES) == IDENTITY
    assert check_fits(BASELINE, FACTS, "orders", RULES) == []


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (_facts(system_identifier="8000"), "8000"),
        (_facts(database_oid=16386), "16386"),
        (_facts(database_name="orders\n2"), r"orders\n2"),
        (ELSEWHERE, "--allow-other-database"),
    ],
)
def test_another_database_is_refused(facts: ServerFacts, told: str) -> None:
    refused = _refusal(facts)
    assert refused.reason is Refusal.OTHER_DATABASE
    assert told in str(refused)


def test_system_that_either_side_does_not_know_is_no_difference() -> None:
    unknown = _facts(system_identifier=None)
    assert check_fits(BASELINE, unknown, "orders", RULES) == []
    assert check_fits(adopted(BASELINE, unknown), FACTS, "orders", RULES) == []


def test_another_deployment_is_refused() -> None:
    refused = _refusal(FACTS, "shipping")
    assert refused.reason is Refusal.OTHER_DEPLOYMENT
    assert "'orders'" in str(refused)
    assert "'shipping'" in str(refused)


@pytest.mark.parametrize("setting", ["track", "track_planning"])
@pytest.mark.parametrize("value", ["all", None])
def test_settings_that_give_the_numbers_another_meaning_are_refused(
    setting: str, value: str | None
) -> None:
    refused = _refusal(_facts(**{setting: value}))
    assert refused.reason is Refusal.OTHER_SETTINGS
    assert f"pg_stat_statements.{setting} " in str(refused)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"server_version_num": 180001}, "PostgreSQL was 15 "),
        ({"extension_version": "1.12"}, "'1.12'"),
        ({"extension_version": None}, "absent"),
        ({"max": "10000"}, "pg_stat_statements.max was '5000'"),
        ({"track_utility": "off"}, "pg_stat_statements.track_utility was 'on'"),
        ({"planner_sha256": "00" * 32}, "planner"),
    ],
)
def test_what_makes_times_less_comparable_is_told_in_one_line_each(
    changes: dict[str, Any], told: str
) -> None:
    (doubt,) = check_fits(BASELINE, _facts(**changes), "orders", RULES)
    assert told in doubt
    assert "\n" not in doubt


def test_other_rules_of_the_classes_are_told_unless_one_side_has_none() -> None:
    (doubt,) = check_fits(BASELINE, FACTS, "orders", "00" * 32)
    assert "rules" in doubt
    assert check_fits(BASELINE, FACTS, "orders", None) == []


def test_minor_version_restart_and_schema_of_the_extension_are_no_matter() -> None:
    facts = _facts(
        server_version_num=150099,
        postmaster_start=FACTS.postmaster_start + timedelta(days=40),
        extension_schema="public",
    )
    assert check_fits(BASELINE, facts, "orders", RULES) == []


def test_adopted_baseline_fits_the_other_database_and_is_read_back() -> None:
    own = loads(dumps(adopted(BASELINE, ELSEWHERE)))
    assert check_fits(own, ELSEWHERE, "orders", RULES) == []
    assert own.statements == BASELINE.statements
    with pytest.raises(RefusedError):
        check_fits(own, FACTS, "orders", RULES)


def test_adopted_baseline_is_still_compared_with_how_it_was_measured() -> None:
    slower = replace(ELSEWHERE, planner_sha256="00" * 32, server_version_num=180001)
    assert len(check_fits(adopted(BASELINE, slower), slower, "orders", RULES)) == 2
    tracking = replace(ELSEWHERE, settings={**FACTS.settings, "pg_stat_statements.track": "all"})
    with pytest.raises(RefusedError) as refused:
        check_fits(adopted(BASELINE, tracking), tracking, "orders", RULES)
    assert refused.value.reason is Refusal.OTHER_SETTINGS
