"""The SQL of the monitoring role: what the files say, quoted, and no secret."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from exporter import catalog
from exporter.database.grants import function_body, function_name, function_schema, grants_sql
from exporter.settings import packaged_queries
from tests.support.queries import make_catalog, make_query

if TYPE_CHECKING:
    import pytest

    from exporter.catalog import Query

METRICS = {"loom_things": {"labels": ["kind"], "value": "things"}}
SHIPPED = catalog.load_catalog(packaged_queries())

_FUNCTION = re.compile(
    r"^CREATE FUNCTION (?P<name>\S+)\n"
    r"RETURNS TABLE \((?P<columns>[^\n]*)\)\n"
    r"LANGUAGE sql STABLE SECURITY DEFINER\n"
    r"(?P<settings>(?:SET [^\n]*\n)+)"
    r"AS (?P<tag>\$\w*\$)(?P<body>.*?)(?P=tag);\n"
    r"COMMENT ON FUNCTION \S+ IS (?P<comment>E?'(?:[^']|'')*');\n"
    r"REVOKE ALL ON FUNCTION (?P<revoked>\S+) FROM PUBLIC;\n"
    r"GRANT EXECUTE ON FUNCTION (?P<granted>\S+) TO loom_monitor;\n",
    re.MULTILINE | re.DOTALL,
)


def _grants_of(*queries: Query) -> str:
    made = make_catalog()
    pack = made.deployment.name
    return grants_sql(replace(made, queries=tuple(replace(each, pack=pack) for each in queries)))


def _functions(sql: str) -> list[re.Match[str]]:
    found = list(_FUNCTION.finditer(sql))
    assert len(found) == sql.count("CREATE FUNCTION ")
    return found


def test_only_queries_that_read_tables_get_a_function() -> None:
    definer, direct = (make_query(a, METRICS, access=a) for a in ("definer", "direct"))
    (function,) = _functions(_grants_of(direct, definer))
    name = "loom_monitor_test_deployment.definer()"
    assert function["name"] == function["revoked"] == function["granted"] == name
    assert function["columns"] == '"kind" text, "things" double precision'
    assert function["body"] == function_body(definer)


def test_every_shipped_function_has_the_text_of_its_file() -> None:
    functions = {function["name"]: function for function in _functions(grants_sql(SHIPPED))}
    definers = [query for query in SHIPPED.queries if query.header.access == "definer"]
    assert functions.keys() == {function_name(query) for query in definers}
    for query in definers:
        function = functions[function_name(query)]
        assert query.text in function["body"]
        told = query.header.description.replace("'", "''")
        assert function["comment"] == f"'Pack loom-database-refactoring: {told}'"


def test_functions_look_nowhere_but_in_the_catalog_and_see_all_rows() -> None:
    (function,) = _functions(_grants_of(make_query("a", METRICS, access="definer")))
    path = re.search(r"SET search_path = (.*)", function["settings"])
    assert path is not None
    # pg_temp last: where it is not named it comes first, and anybody may create something there.
    assert path[1] in ("''", "pg_catalog, pg_temp")
    assert "SET row_security = off\n" in function["settings"]


@given(
    st.lists(
        st.sampled_from(["$query$", "$query0$", "$query1$", "$$", "$", "'", '"', " ", "\n", "a"]),
        max_size=12,
    )
)
def test_text_cannot_end_its_quote(parts: list[str]) -> None:
    comment = "".join(parts).replace("\n", "\n--")
    query = make_query("a", METRICS, access="definer", sql=f"SELECT 1 --{comment}")
    (function,) = _functions(_grants_of(query))
    assert function["body"] == function_body(query)
    assert function["tag"] not in query.text


def test_description_is_quoted() -> None:
    query = make_query("a", METRICS, access="definer", description="It's a \\ and a $$ test.")
    (function,) = _functions(_grants_of(query))
    assert function["comment"] == r"E'Pack test-deployment: It''s a \\ and a $$ test.'"


def test_everything_happens_in_one_transaction_or_not_at_all() -> None:
    sql = grants_sql(SHIPPED)
    statements = [line for line in sql.splitlines() if line and not line.startswith("--")]
    assert (statements[0], statements[-1]) == ("BEGIN;", "COMMIT;")
    assert sql.count("\nBEGIN;\n") == sql.count("\nCOMMIT;\n") == 1


def test_role_can_log_in_and_little_else() -> None:
    sql = grants_sql(SHIPPED)
    assert "CREATE ROLE loom_monitor LOGIN CONNECTION LIMIT 6;" in sql
    assert "CONNECTION LIMIT" in sql
    assert "REVOKE ALL ON SCHEMA loom_monitor_loom_database_refactoring FROM PUBLIC;" in sql
    granted = set(re.findall(r"GRANT (\w+(?: ON \w+)?)", sql))
    assert granted == {
        "CONNECT ON DATABASE",
        "EXECUTE ON FUNCTION",
        "USAGE ON SCHEMA",
        "pg_monitor",  # where pg_read_all_stats may not be granted
        "pg_read_all_stats",
    }
    role = " ".join(re.findall(r"(?:CREATE|ALTER) ROLE [^;]*;", sql))
    for word in ("SUPERUSER", "BYPASSRLS", "PASSWORD '", "CREATEROLE", "GRANT SELECT"):
        assert word not in role


def test_output_depends_on_nothing_but_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_URL", "postgresql://u:correct-horse@h/db")
    first = grants_sql(SHIPPED)
    assert "correct-horse" not in first
    monkeypatch.undo()
    assert grants_sql(SHIPPED) == first


def test_schema_of_a_pack_needs_no_quotes_and_is_not_cut_off_by_the_server() -> None:
    assert function_schema("shop") == "loom_monitor_shop"
    assert function_schema("3.shop-eu") == "loom_monitor_3_shop_eu"
    long = [function_schema("a" * 60 + end) for end in "bc"]
    assert [len(each) for each in long] == [63, 63]
    assert long[0] != long[1]


def test_what_it_takes_and_what_to_do_without_stands_before_the_first_statement() -> None:
    comment = grants_sql(SHIPPED).partition("BEGIN;")[0]
    assert all(line.startswith("--") for line in comment.splitlines())
    for word in ("CREATEROLE", "BYPASSRLS", "superuser", "CREATE ROLE loom_monitor LOGIN"):
        assert word in comment
