"""A statement belongs to the class whose relations or functions it really names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporter.catalog import load_catalog
from exporter.catalog.deployment import StatementClass
from exporter.demo.database import FILES
from exporter.settings import packaged_queries
from exporter.statements.classes import Classification, classify, names_of
from exporter.statements.text import identity, parse_statement

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES = {
    "items": StatementClass(relations=("app.items",), functions=("app.count_items",)),
    "lists": StatementClass(relations=("app.lists", "Archive"), functions=("tidy",)),
}


def _classify(text: str | None, classes: Mapping[str, StatementClass] = CLASSES) -> Classification:
    return classify(parse_statement(text), classes)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("select * from app.items where id = $1", "items"),
        ('SELECT * FROM "app"."items" i', "items"),
        ("select * from items", "items"),
        ("insert into app.items (a) values ($1) on conflict do nothing", "items"),
        ("update app.items set a = $1", "items"),
        ("delete from items where a = any ($1)", "items"),
        ("merge into app.items i using x on x.id = i.id when matched then delete", "items"),
        ("select $1 where exists (select from app.lists l for update of l)", "lists"),
        ("select a, (select count(*) from app.lists) from b", "lists"),
        ("select app.count_items($1)", "items"),
        ("select * from app.count_items(x => $1) as t", "items"),
        ("call tidy($1)", "lists"),
        ("select anywhere.tidy()", "lists"),
        ('select * from "Archive"', "lists"),
        ("with c as (select * from app.items) select * from c", "items"),
        # As PostgREST writes it: the expression has the name of the table that it reads.
        ("with items as (select * from app.items) select * from items", "items"),
        ("with items as (select * from items where a in ($1 /*, ... */)) table items", "items"),
        ("with a as (select 1), b as (select * from lists) select * from a, b", "lists"),
        # Written otherwise than in the rules.
        ("SELECT * FROM App.ITEMS", "items"),
        ('select * from U&"app".U&"it\\0065ms"', "items"),
    ],
)
def test_relation_or_function_is_found_wherever_it_stands(text: str, name: str) -> None:
    assert _classify(text) == Classification(name, "parsed")


@pytest.mark.parametrize(
    "text",
    [
        "select * from other.items",
        "select items from t",
        "select t.items from t as lists",
        "select $1 as items -- from app.items",
        "select * from items_old",
        "select other.count_items($1)",
        "select count_items from t",
        "select * from archive",
        "with items as (select 1) select * from items",
        "with recursive items as (select 1 union select n from items) select * from items",
        "with a as (with lists as (select 1) select * from lists) select * from a",
        "select * from t as items for update of items",
        "create index on app.items (a)",
        "refresh materialized view app.items",
        "truncate app.items",
        "explain select * from app.items",
        "create function app.count_items() returns int language sql as 'select 1'",
    ],
)
def test_what_only_looks_like_it_is_other(text: str) -> None:
    assert _classify(text) == Classification("other", "parsed")


def test_first_of_two_classes_gets_the_statement_and_it_shows() -> None:
    both = "select * from app.lists l join app.items i on i.list_id = l.id"
    assert _classify(both) == Classification("items", "parsed", ambiguous=True)
    backwards = dict(reversed(CLASSES.items()))
    assert _classify(both, backwards) == Classification("lists", "parsed", ambiguous=True)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "<insufficient privilege>",
        "select * from app.items where id in ($1, $2, ",
        "select app.count_items($1) from (",
        "select * from app.items where a in (" + "$1, " * 20_000 + "$1)",
        "select " + "1+" * 20_000 + "1 from app.items",
        "savepoint items $1",
    ],
    ids=range(8),
)
def test_text_that_does_not_parse_is_other(text: str | None) -> None:
    assert _classify(text) == Classification("other", "none")


def test_no_classes_make_everything_other() -> None:
    assert _classify("select * from app.items", {}) == Classification("other", "parsed")


def test_an_identity_wins_over_every_name() -> None:
    text = "select * from app.items where id = $1"
    known = identity(text)
    assert known is not None
    classes = {**CLASSES, "known": StatementClass(identities=(known,))}
    assert _classify(text.upper(), classes) == Classification("known", "parsed")


def test_names_that_the_parser_adds_do_not_count_as_unqualified() -> None:
    text = "select coalesce(extract(year from now()), f(1), s.g(2)) from a.b.c"
    statement = parse_statement(text)
    assert statement is not None
    names = names_of(statement)
    assert names.functions == {("pg_catalog", "extract"), (None, "now"), (None, "f"), ("s", "g")}
    assert names.relations == {("b", "c")}


# What the demo's application asks, by the file that it asks it from.
WORKLOAD = {
    "audit_insert": "audit_log",
    "collection_items": "collection_items",
    "collections_list": "resource_library",
    "collections_shared_with_me": "resource_library",
    "mfa_adoption": "mfa_status",
    "mfa_adoption_live": "mfa_status",
    "mfa_pending_methods": "mfa_status",
    "mfa_status_check": "mfa_status",
    "mfa_status_function": "mfa_status",
    "mfa_status_live": "mfa_status",
    "mfa_status_unified": "mfa_status",
    "mfa_verification": "mfa_status",
    "progress_list": "resource_library",
    "progress_upsert": "resource_library",
    "public_resources": "resource_library",
    "resources_shared_with_me": "resource_library",
    "sessions_list": "other",
    "shared_files": "resource_library",
}


def test_shipped_classes_sort_what_the_application_asks() -> None:
    classes = load_catalog(packaged_queries()).deployment.classes
    files = sorted((FILES / "workload").glob("*.sql"))
    found = {file.stem: _classify(file.read_text(), classes) for file in files}
    assert {stem: classification.name for stem, classification in found.items()} == WORKLOAD
    assert {classification.how for classification in found.values()} == {"parsed"}
