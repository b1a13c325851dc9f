"""`check --database` says of a query what a run will say, for every type and every mistake."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.database.database import Database
from exporter.run_state import RunError, State
from exporter.sources.inspection import inspect
from exporter.sources.sql import fetch
from tests.support.truth import ask
from tests.support.watching import (
    MONITOR,
    OWNER,
    catalog_of,
    install_grants,
    one_query,
    patient,
)

if TYPE_CHECKING:
    from exporter.catalog import Query
    from tests.support.loom_database import LoomDatabase

pytestmark = pytest.mark.parametrize("server", [15, 18], indirect=True)

RIGHT = (
    "SELECT round(avg(length(u.email)), 2) AS value FROM public.users AS u"
    " JOIN public.user_mfa_methods AS m ON m.user_id = u.id"
    " WHERE lower(u.email) LIKE '%@loom.example' AND u.created_at < now() - interval '1 day'"
)


def _mistakes() -> list[str]:
    """Return statements that are wrong in one place: a word left out, said twice, misspelt."""
    words = re.findall(r"'[^']*'|\w+|[^\s\w]", RIGHT)
    made = []
    for place, word in enumerate(words):
        before, after = words[:place], words[place + 1 :]
        made.append(" ".join([*before, *after]))
        made.append(" ".join([*before, word, word, *after]))
        if word[0].isalpha():
            made.append(" ".join([*before, word + "x", *after]))
    return made


async def _states_of_runs(loom: LoomDatabase, queries: list[Query], user: str) -> list[State]:
    states = []
    async with Database("loom", lambda: loom.dsn(user)) as database:
        for query in queries:
            try:
                rows = await fetch(database, query)
            except RunError as error:
                states.append(error.state)
            else:
                states.append(State.OK if rows.total else State.EMPTY)
    return states


async def _compare(loom: LoomDatabase, texts: list[str], user: str = OWNER) -> list[State]:
    right = patient(one_query("SELECT 1 AS value"))
    queries = [replace(right, text=text) for text in texts]
    runs = await _states_of_runs(loom, queries, user)
    findings = list(inspect(loom.dsn(user), queries))
    assert [
        (text, finding)
        for text, finding, run in zip(texts, findings, runs, strict=True)
        if (finding.state is State.OK) != run.is_success
    ] == []
    return runs


async def test_they_agree_on_a_value_of_every_type(loom: LoomDatabase) -> None:
    with loom.connect() as connection:
        connection.execute(
            "CREATE TYPE public.colour AS ENUM ('red'); CREATE DOMAIN public.count AS integer;"
            "CREATE DOMAIN public.word AS text; CREATE TYPE public.pair AS (a int, b int)"
        )
        types = ask(
            connection,
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname) FROM pg_type AS t"
            " JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE t.typtype <> 'p'",
        )
    texts = [f"SELECT NULL::{name} AS value" for (name,) in types]
    runs = await _compare(loom, texts)
    assert len(texts) > 300
    assert set(runs) == {State.OK, State.ERROR}


async def test_they_agree_on_statements_that_are_wrong_in_some_way(loom: LoomDatabase) -> None:
    texts = [RIGHT, *_mistakes()]
    runs = await _compare(loom, texts)
    assert runs[0] is State.OK
    assert runs.count(State.ERROR) > 100
    assert State.ABSENT not in runs


async def test_they_agree_on_values_that_become_numbers_and_that_do_not(
    loom: LoomDatabase,
) -> None:
    values = ["5::oid", "'5'::text", "'5'::jsonb", "true", "'5'::money", "'2026-01-01'::date"]
    runs = await _compare(loom, [f"SELECT {value} AS value" for value in values])
    assert [run is State.OK for run in runs] == [False, True, True, False, False, False]


async def test_they_agree_on_what_a_role_may_not_read(loom: LoomDatabase) -> None:
    install_grants(loom)
    texts = [
        "SELECT count(*) AS value FROM public.users",
        "SELECT count(*) AS value FROM auth.users",
        "SELECT count(*) AS value FROM pg_catalog.pg_authid",
        "SELECT pg_read_file('x') AS value",
        "SELECT count(*) AS value FROM pg_catalog.pg_class",
    ]
    runs = await _compare(loom, texts, MONITOR)
    assert runs == [State.DENIED] * 4 + [State.OK]


async def test_they_agree_on_a_function_whose_table_has_changed(loom: LoomDatabase) -> None:
    text = "SELECT count(mfa_enabled) AS value FROM public.users"
    query = patient(one_query(text, "access: definer"))
    install_grants(loom, catalog_of(query))
    with loom.connect(OWNER) as owner:
        owner.execute("ALTER TABLE public.users RENAME COLUMN mfa_enabled TO mfa_on")
    (run,) = await _states_of_runs(loom, [query], MONITOR)
    (finding,) = inspect(loom.dsn(MONITOR), [query])
    assert run is finding.state is State.ERROR
    assert "mfa_enabled" in finding.detail


def test_operator_that_is_not_found_is_told(loom: LoomDatabase) -> None:
    with loom.connect() as superuser:
        superuser.execute(
            "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;"
            "CREATE TABLE public.orders (status public.citext);"
            "INSERT INTO public.orders VALUES ('Active'), ('active')"
        )
    text = "SELECT count(*) AS value FROM public.orders WHERE status {} 'active'"
    plain, qualified, other = (
        one_query(text.format("="), name="plain"),
        one_query(text.format("OPERATOR(public.=)"), name="qualified"),
        one_query("SELECT count(*) AS value FROM public.orders", name="other"),
    )
    queries = map(patient, (plain, qualified, other))
    findings = {each.query: each for each in inspect(loom.dsn(), queries)}
    assert {each.state for each in findings.values()} == {State.OK}
    assert "write OPERATOR(public.=) instead of =" in findings["plain"].detail
    assert findings["qualified"].detail == findings["other"].detail == ""
