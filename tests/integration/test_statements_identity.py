"""A statement is known by the same name on a real server, whatever is done to its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.statements.text import display_text, identity, parse_statement
from tests.support.statements import reset, watching

if TYPE_CHECKING:
    import psycopg

    from tests.support.loom_database import LoomDatabase


def test_identity_outlives_what_a_migration_recreates(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    table = "CREATE TABLE public.thing (id int, name text)"
    view = "CREATE VIEW public.things AS SELECT id FROM public.thing"
    function = "CREATE FUNCTION public.double(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'"
    queries = [
        "SELECT t.name FROM public.thing AS t WHERE t.id = 1",
        "SELECT * FROM public.things WHERE id IN (1, 2, 3)",
        "SELECT public.double(4)",
        "SELECT d FROM public.double(5) AS d",
    ]
    with watching(loom) as watcher:
        for command in (table, view, function):
            application.execute(command.encode())
        watcher.poll()
        for query in queries:
            application.execute(query.encode())
        watcher.poll()
        application.execute("DROP TABLE public.thing CASCADE; DROP FUNCTION public.double")
        for command in (table, view, function):
            application.execute(command.encode())
        for query in queries:
            for _ in range(2):
                application.execute(query.encode())
        watcher.poll()
        for query in queries:
            assert watcher.total(query).calls == 3, query
        if loom.server.version < 18:
            assert all(len(watcher.keys(query)) == 2 for query in queries)


def test_two_tables_under_one_alias_differ_as_far_as_the_text_tells(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    old, new = (f"SELECT m.id FROM public.{name} AS m" for name in ("old_thing", "new_thing"))
    application.execute("CREATE TABLE public.old_thing AS SELECT 1 AS id")
    application.execute("CREATE TABLE public.new_thing AS SELECT 1 AS id")
    with watching(loom) as watcher:
        watcher.poll()
        application.execute(old.encode())
        watcher.poll()
        application.execute(new.encode())
        watcher.poll()
        assert watcher.total(old).calls + watcher.total(new).calls == 2
        if loom.server.version < 18:
            assert (watcher.total(old).calls, watcher.total(new).calls) == (1, 1)
            return
        # Since 18 the server takes both for one, and keeps the text that came first.
        (key,) = watcher.keys(old)
        assert (watcher.total(old).calls, watcher.total(new).calls) == (2, 0)
        # Once the entry is reset, the next text is stored, asked for, and told apart.
        reset(loom, key)
        application.execute(new.encode())
        assert key in watcher.poll().fresh
        assert (watcher.total(old).calls, watcher.total(new).calls) == (2, 1)


def test_raw_text_after_a_reset_has_the_same_identity_and_shows_nothing(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    query = (
        b"SELECT id, extract(year FROM now()) - 2 AS y FROM public.users"
        b" WHERE email = 'secret@loom.test' AND coalesce(mfa_enabled, false) = true"
        b" AND first_name IN ('a', E'secret\\n') AND last_name IS NOT NULL AND length(email) > -5"
        b" AND created_at > now() - interval '1 day' LIMIT 5"
    )
    with watching(loom) as watcher:
        watcher.poll()
        application.execute(query, prepare=True)
        watcher.poll()
        (key,) = watcher.keys(query.decode())
        assert "secret" not in (watcher.texts[key].text or "")
        reset(loom)
        application.execute(query, prepare=True)
        watcher.poll()
        # The server did not parse it again, so it has the text as it was sent.
        assert "secret" in (watcher.texts[key].text or "")
        assert watcher.total(query.decode()).calls == 2
        statement = parse_statement(watcher.texts[key].text)
        assert statement is not None
        shown = display_text(statement)
        assert shown is not None
        assert "secret" not in shown


def test_long_list_of_parameters_is_shortened_before_it_is_sent(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    many = ", ".join(str(number) for number in range(8_000))
    query = "SELECT u.id FROM public.users AS u WHERE length(u.email) IN ({}) AND u.id IS NOT NULL"
    with watching(loom) as watcher:
        watcher.poll()
        application.execute(query.format(many).encode())
        application.execute(query.format("1, 2").encode())
        watcher.poll()
        assert watcher.total(query.format("1")).calls == 2
        assert all(len(seen.text or "") <= 20_000 for seen in watcher.texts.values())


RAW = [
    "SELECT -5, 2 - -5, 1e5, .5, NULL, TRUE, x'1f', b'01', E'a\\n', $q$x$q$, U&'\\0061', 'a'\n'b'",
    "SELECT extract(year FROM now()), extract('hour' FROM now()), interval '1 day' day",
    "SELECT interval(3) '1 s', timestamp with time zone '2020-01-01', time(3) '10:00', int '5'",
    "SELECT trim(both 'x' FROM 'xax'), position('a' IN 'ab'), substring('abc' FROM 1 FOR 2)",
    "SELECT overlay('abc' PLACING 'x' FROM 2), now() AT TIME ZONE 'UTC', 'a' LIKE 'b' ESCAPE 'c'",
    "SELECT 'a' SIMILAR TO 'b', 'b' COLLATE \"C\", 'x'::varchar(20), (ARRAY[1, 2, 3])[1:2]",
    "SELECT CASE WHEN 1 > 2 THEN 'a' ELSE 'b' END, coalesce(NULL, 1), ROW(1, 'x'), 1 IS NOT NULL",
    "SELECT count(*) FILTER (WHERE id IS NOT NULL) OVER (ORDER BY 1 ROWS 2 PRECEDING) FROM users",
    "SELECT array_agg(id ORDER BY 1), 1 FROM public.users GROUP BY 2 ORDER BY 2 LIMIT 5 OFFSET 1",
    "SELECT id FROM public.users TABLESAMPLE system (10) REPEATABLE (5) FETCH FIRST 5 ROWS ONLY",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (a, b) WHERE (a, b) IN ((1, 'a'), (2, 'b'))",
    "SELECT '{\"a\": 1}'::jsonb ? 'a', '{}'::jsonb -> 'a' #>> '{b}', 1 BETWEEN SYMMETRIC 2 AND 3",
    "SELECT generate_series(1, 3), 1 = ANY ('{1,2}'), 'a' IS DISTINCT FROM 'b', '1 day'::interval",
    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 9) SELECT 1 FROM c",
    "UPDATE public.users SET email = 'x' || id WHERE id IS NULL AND length(email) > 5",
    "DELETE FROM public.users WHERE id IS NULL AND email = 'x' RETURNING 1",
    "SELECT id FROM public.users WHERE email = 'x' FOR UPDATE SKIP LOCKED",
]


@pytest.mark.parametrize("raw", RAW)
def test_text_that_the_server_stores_has_the_identity_of_the_raw_text(
    loom: LoomDatabase, application: psycopg.Connection[Any], raw: str
) -> None:
    with watching(loom) as watcher:
        watcher.poll()
        application.execute(raw.encode())
        watcher.poll()
        (key,) = watcher.keys(raw)
        stored = watcher.texts[key].text
        assert stored != raw
        assert identity(stored) == identity(raw)


def test_text_that_is_too_long_is_left_out_whole(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    columns = ", ".join(f"length(email) AS column_{number}" for number in range(700))
    with watching(loom) as watcher:
        watcher.poll()
        application.execute(f"SELECT {columns} FROM public.users".encode())
        step = watcher.poll()
        (key,) = [each for each in step.fresh if watcher.texts[each].text is None]
        assert step.deltas[key].calls == 1
