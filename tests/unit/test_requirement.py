"""What a query needs of the server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from exporter.catalog.requirement import (
    Extension,
    ExtensionRequirement,
    ServerRequirement,
    parse_version,
)
from exporter.database.grants import function_schema
from exporter.run_state import RunError, State
from exporter.sources.preflight import decide, needs_preflight, preflight_parameters
from tests.support.queries import make_query

EXTENSION: TypeAdapter[Extension] = TypeAdapter(ExtensionRequirement)
SERVER: TypeAdapter[int] = TypeAdapter(ServerRequirement)

NOTHING = {"server": 15, "missing": [], "extensions": None, "body": None, "is_ours": True}
METRICS = {"loom_things": {"value": "things"}}


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_version_reads_its_numbers(numbers: list[int]) -> None:
    assert parse_version(".".join(map(str, numbers))) == tuple(numbers)


@pytest.mark.parametrize(
    ("older", "newer"), [("1.9", "1.10"), ("1", "1.1"), ("9.6", "10"), ("1.4-1", "1.5-beta1")]
)
def test_versions_are_compared_by_number(older: str, newer: str) -> None:
    assert parse_version(older) < parse_version(newer)


def test_what_follows_a_dash_is_not_the_version() -> None:
    assert parse_version("1.4-5") == (1, 4)


@pytest.mark.parametrize(
    ("text", "extension"),
    [
        ("pg_cron", Extension("pg_cron")),
        ("pg_cron >= 1.4", Extension("pg_cron", (1, 4))),
        ("pg_cron>=1.4", Extension("pg_cron", (1, 4))),
        ("uuid-ossp >= 1", Extension("uuid-ossp", (1,))),
    ],
)
def test_extension_is_a_name_and_perhaps_a_version(text: str, extension: Extension) -> None:
    assert EXTENSION.validate_python(text) == extension
    assert EXTENSION.validate_python(str(extension).removeprefix("extension ")) == extension


@pytest.mark.parametrize("text", ["", "pg_cron > 1", "pg_cron = 1", "pg_cron 1", "PG", ">= 1", 1])
def test_other_extensions_are_refused(text: object) -> None:
    with pytest.raises(ValidationError, match=r"such as `pg_cron >= 1\.4`"):
        EXTENSION.validate_python(text)


@pytest.mark.parametrize("text", [">= 15", ">=15"])
def test_server_is_a_least_major_version(text: str) -> None:
    assert SERVER.validate_python(text) == 15


@pytest.mark.parametrize("text", ["15", "> 15", ">= 15.1", ">= x", "", 15, 15.0, None])
def test_other_servers_are_refused(text: object) -> None:
    with pytest.raises(ValidationError, match='in quotes, such as ">= 15"'):
        SERVER.validate_python(text)


def test_query_that_requires_nothing_asks_nothing() -> None:
    assert not needs_preflight(make_query("things", METRICS))
    for requires in ({"server": ">= 15"}, {"extensions": ["a"]}, {"relations": ["a.b"]}):
        assert needs_preflight(make_query("things", METRICS, requires=requires))
    assert needs_preflight(make_query("things", METRICS, access="definer"))


def test_only_a_definer_looks_for_its_function() -> None:
    assert preflight_parameters(make_query("things", METRICS))["function"] == ""
    definer = make_query("things", METRICS, access="definer", requires={"relations": ["A.b c"]})
    assert preflight_parameters(definer) == {
        "relations": ["A.b c"],
        "schemas": ["A"],
        "names": ["b c"],
        "extensions": [],
        "function": "things",
        "schema": function_schema(""),
        "settings": ["search_path=pg_catalog, pg_temp", "row_security=off"],
    }


@pytest.mark.parametrize(
    ("requires", "found", "detail"),
    [
        ({"server": ">= 16"}, {}, "needs PostgreSQL 16; this is 15"),
        ({"relations": ["a.b"]}, {"missing": ["a.b"]}, "not there, or not populated: a.b"),
        ({"extensions": ["pg_cron"]}, {}, "extension pg_cron is not installed"),
        (
            {"extensions": ["pg_cron >= 1.10"]},
            {"extensions": {"pg_cron": "1.9"}},
            "extension pg_cron >= 1.10 is not installed",
        ),
    ],
)
def test_what_is_not_there_makes_the_query_absent(
    requires: dict[str, object], found: dict[str, object], detail: str
) -> None:
    query = make_query("things", METRICS, requires=requires)
    with pytest.raises(RunError) as raised:
        decide(query, {**NOTHING, **found})
    assert (raised.value.state, str(raised.value)) == (State.ABSENT, detail)


@pytest.mark.parametrize(
    ("requires", "found"),
    [
        ({"server": ">= 15"}, {}),
        ({"extensions": ["pg_cron >= 1.4"]}, {"extensions": {"pg_cron": "1.4"}}),
        ({"extensions": ["pg_cron >= 1.4"]}, {"extensions": {"pg_cron": "1.10-1"}}),
    ],
)
def test_what_is_there_lets_it_run(requires: dict[str, object], found: dict[str, object]) -> None:
    query = make_query("things", METRICS, requires=requires)
    assert decide(query, {**NOTHING, **found}) is False


def test_function_is_called_only_if_it_was_made_from_this_text() -> None:
    query = make_query("things", METRICS, access="definer")
    assert decide(query, NOTHING) is False
    assert decide(query, {**NOTHING, "body": f"\n{query.select}\n"}) is True
    with pytest.raises(RunError, match="run `loom-exporter grants` again") as raised:
        decide(query, {**NOTHING, "body": f"\n{query.select} \n"})
    assert raised.value.state is State.OUTDATED
