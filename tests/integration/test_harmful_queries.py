"""Texts that mean harm: what would write is refused, and what fails tells no data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from exporter.run_state import State
from tests.support.marks import only_18
from tests.support.probes import USERS
from tests.support.watching import OWNER, catalog_of, install_grants, look, one_query, watching

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase

pytestmark = only_18

_ESCAPE = "SELECT 1 AS value) AS q) AS r"
_RETURN = "SELECT 1 FROM (SELECT (SELECT 1"

HARMFUL = {
    "data-modifying CTE": "WITH gone AS (DELETE FROM public.users RETURNING 1)"
    " SELECT count(*) AS value FROM gone",
    "function that writes": "SELECT public.wipe() AS value",
    "row lock": "SELECT count(*) AS value FROM (SELECT FROM public.users FOR UPDATE) AS locked",
    "sequence": "SELECT nextval('public.numbers') AS value",
    "second statement": f"{_ESCAPE}; DELETE FROM public.users; {_RETURN}",
    "commit first": f"{_ESCAPE}; COMMIT; DELETE FROM public.users; {_RETURN}",
    "nothing but commit": "COMMIT",
    "writable first": "SELECT length(set_config('transaction_read_only', 'off', true))"
    " + public.wipe() AS value",
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL.keys())
def test_text_that_would_write_is_refused_also_for_a_role_that_may(
    loom: LoomDatabase, text: str
) -> None:
    with loom.connect(OWNER) as connection:
        connection.execute(
            "CREATE SEQUENCE public.numbers;"
            "CREATE FUNCTION public.wipe() RETURNS bigint LANGUAGE sql AS"
            " 'WITH gone AS (DELETE FROM public.users RETURNING 1) SELECT count(*) FROM gone'"
        )
        # As if it had got past the check of the file.
        query = replace(one_query("SELECT 1 AS value"), text=text)
        seen = look(loom, query, user=OWNER)["probe"]
        left = connection.execute(
            "SELECT (SELECT count(*) FROM public.users), is_called FROM public.numbers"
        ).fetchall()
    assert (seen.state, dict(seen.samples)) == (State.ERROR, {}), seen.detail
    assert left == [(200, False)]


def test_text_that_would_write_is_refused_by_its_function_too(loom: LoomDatabase) -> None:
    query = one_query("SELECT public.wipe() AS value", "access: definer")
    with loom.connect(OWNER) as connection:
        connection.execute(
            "CREATE FUNCTION public.wipe() RETURNS bigint LANGUAGE sql AS"
            " 'WITH gone AS (DELETE FROM public.users RETURNING 1) SELECT count(*) FROM gone'"
        )
        install_grants(loom, catalog_of(query))
        seen = look(loom, query)["probe"]
        assert connection.execute(USERS.encode()).fetchall() == [(200,)]
    assert (seen.state, dict(seen.samples)) == (State.ERROR, {})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT email AS value FROM public.users WHERE email = 'admin1@loom.example'",
        "SELECT length('admin1@loom.example'::uuid::text) AS value",
        "SELECT length((email || ': 1')::json::text) AS value FROM public.users",
    ],
    ids=["cast of the value", "cast in the text", "json"],
)
async def test_failed_conversion_is_an_error_that_quotes_no_data(
    loom: LoomDatabase, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with watching(loom.dsn(OWNER), one_query(text)) as watch:
        seen = await watch.look()
        page = await watch.page()
    assert seen.state is State.ERROR
    assert "(22" in seen.detail
    logged = "".join(capsys.readouterr())
    assert "query fails" in logged
    for told in (seen.detail, page, logged):
        assert "admin1" not in told
        assert "loom.example" not in told
