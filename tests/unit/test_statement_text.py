"""A statement is known by its text, whatever its literals, and shows none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.statements.text import SHOWN_CHARACTERS, display_text, identity
from exporter.statements.tokens import tokens

MARK = "Zq7Secret"

_TEXT = st.text(alphabet="'\"\\$?x1é \n-/*", max_size=8)
_TAG = st.sampled_from(("", "a", "Body", "_1"))


def _quoted(prefix: str, text: str) -> str:
    return prefix + "'" + text.replace("'", "''") + "'"


def _escaped(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _dollar(tag: str, text: str) -> str:
    return f"${tag}${text.replace('$', '')}${tag}$"


STRINGS = st.one_of(
    st.builds(_quoted, st.sampled_from(("", "N", "U&", "x", "b")), st.just(MARK)),
    st.builds(lambda a, b: _quoted("", f"{a}{MARK}{b}"), _TEXT, _TEXT),
    st.builds(lambda a, b: _escaped(f"{a}{MARK}{b}"), _TEXT, _TEXT),
    st.builds(lambda tag, a, b: _dollar(tag, f"{a}{MARK}{b}"), _TAG, _TEXT, _TEXT),
    st.builds(lambda a, b: f"'{a}'\n  '{MARK}{b}'", st.just("x"), st.just("y")),
)
NUMBERS = st.sampled_from(
    ("918273", "918273.5", ".918273", "918273.", "9.18273e5", "918273E-5", "0x918273", "918_273")
)
CONSTANTS = st.sampled_from(("$1", "$918273", "true", "NULL", "-918273"))
LITERALS = st.one_of(STRINGS, NUMBERS, CONSTANTS)

COMMENTS = st.sampled_from(
    (f"-- {MARK} it's\n", f"/* {MARK} */", f"/* a /* ' {MARK} */ \" */", "--\n", "/**/")
)
GAPS = st.lists(st.sampled_from((" ", "\n", "\t", "\r\n")) | COMMENTS, max_size=3).map(
    lambda parts: " " + "".join(parts)
)

# What a statement is made of: `literal` and `list` are filled in anew each time it is written.
WORDS = st.sampled_from(("select", "from", "where", "and", "users", "été", "a1$", "order"))
QUOTED = st.sampled_from(('"Users"', '"a ""b"""', '"x y"', '"?, ?"', '"it\'s"'))
SIGNS = st.sampled_from(("(", ")", ",", ".", "::", "=", "<=", "->>", "@>", "[", "]"))
# No literal follows another: a string would go on in it. A cast ends an item of a list.
SKELETONS = st.lists(
    WORDS | QUOTED | SIGNS | st.sampled_from(("= literal and", "in (list) and", "= any (list) or")),
    min_size=1,
    max_size=12,
)


@st.composite
def written(draw: st.DrawFn, skeleton: list[str]) -> str:
    """Write a statement in one of the ways in which it can be written."""
    parts = ["select" if draw(st.booleans()) else "SELECT"]
    for item in skeleton:
        for piece in item.split(" ") if " " in item and '"' not in item else [item]:
            match piece:
                case "literal":
                    parts.append(draw(LITERALS))
                case "(list)":
                    count = draw(st.integers(1, 3))
                    values = [draw(LITERALS) for _ in range(count)]
                    more = draw(st.sampled_from(("", " /*, ... */")))
                    parts.append("(" + ", ".join(values) + more + ")")
                case _:
                    parts.append(_case(draw, piece))
    return "".join(draw(GAPS) + part for part in parts)


def _case(draw: st.DrawFn, piece: str) -> str:
    if not piece.isascii() or piece.startswith('"'):
        return piece
    return piece.upper() if draw(st.booleans()) else piece


@given(st.data(), SKELETONS)
def test_identity_knows_no_case_space_comment_literal_or_width_of_a_list(
    data: st.DataObject, skeleton: list[str]
) -> None:
    one, other = data.draw(written(skeleton)), data.draw(written(skeleton))
    assert tokens(one) == tokens(other)
    assert identity(one) == identity(other)


@given(st.data(), SKELETONS)
def test_no_literal_and_no_comment_is_shown(data: st.DataObject, skeleton: list[str]) -> None:
    text = data.draw(written(skeleton))
    shown = display_text(text) or ""
    assert MARK.lower() not in shown.lower()
    assert "918" not in shown
    assert len(shown) <= SHOWN_CHARACTERS


@given(STRINGS, st.sampled_from(("", "select 1", " and x = ")), st.data())
def test_no_part_of_a_literal_is_shown_of_a_text_that_breaks_off(
    string: str, before: str, data: st.DataObject
) -> None:
    text = f"select * from t where {before}{string}"
    cut = text[: data.draw(st.integers(0, len(text)))]
    shown = display_text(cut) or ""
    assert "zq7" not in shown.lower()


@given(st.text())
def test_any_text_whatever_is_read(text: str) -> None:
    identity(text)
    display_text("select " + text)
    tokens(text)


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        ("select * from t where a = 5", "select * from t where a = $1"),
        ("select * from t where a = -5", "select * from t where a = $1"),
        ("select -5", "select $1"),
        ("select a - 5 from t", "select a - $1 from t"),
        ("select 2 - -5", "select $1 - $2"),
        ("select f(true, null)", "select f($1, $2)"),
        ("select 1 where a is not null", "select $1 where a is not null"),
        ("select extract(year from now())", "select extract($1 from now())"),
        ("select interval '1 day'", "select interval $1"),
        ("select 1 where a in (1, 2, 3)", "select $1 where a in ($2, $3, $4)"),
        ("select 1 where a in (1, 2, 3)", "select $1 where a in ($2 /*, ... */)"),
        ("select 1 where a in ('x'::uuid, 'y'::uuid)", "select $1 where a in ($2::uuid)"),
        ("select 1 where a in ('x'::p.t, 'y'::p.t)", "select $1 where a in ($2::p.t)"),
        ("select array[1, 2]", "select array[$1]"),
        ("select d ? 'key'", "select d ? $1"),
        ("select 1;", "select $1"),
    ],
)
def test_raw_text_has_the_identity_of_what_the_server_makes_of_it(raw: str, stored: str) -> None:
    assert tokens(raw) == tokens(stored)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select * from old_mfa m where m.id = $1", "select * from new_mfa m where m.id = $1"),
        ("select * from auth.users", "select * from public.users"),
        ('select * from "Users"', "select * from users"),
        ("select a + $1 from t", "select a - $1 from t"),
        ("select 1 where a is null", "select 1 where a is not null"),
        ("select 1 where a is true", "select 1 where a is false"),
        ("select a from t", "select b from t"),
        ("select d ? $1", "select d $1"),
        ("select f($1, $2::uuid)", "select f($1::uuid)"),
    ],
)
def test_statements_that_differ_in_more_have_identities_of_their_own(one: str, other: str) -> None:
    assert identity(one) != identity(other)


def test_identity_is_what_it_was() -> None:
    # Baselines hold it: another normalisation needs another name.
    assert identity("SELECT a,b FROM t WHERE c IN ($1,$2) -- x") == (
        "17acfff93e829440ce559820e9554582d5549b33e8d13f45b39e2a52ea1a37c1"
    )


@pytest.mark.parametrize("text", [None, "", "  ", "<insufficient privilege>", "-- only this", ";"])
def test_no_text_has_no_identity(text: str | None) -> None:
    assert identity(text) is None
    assert display_text(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "create role r password 'secret'",
        "do $$ begin end $$",
        "copy (select 'secret') to stdout",
        "set x = 'secret'",
        "call p('secret')",
        "explain select 'secret'",
        "prepare p as select 'secret'",
        "values ('secret')",
    ],
)
def test_only_questions_of_an_application_are_shown(text: str) -> None:
    assert display_text(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "select 'it\\'s secret', 'x'",  # as standard_conforming_strings = off would have it
        "select 'a\\'' || secret || ''''",
        "select 'x\\' secret -- '",
        "select 'secret",
        'select "secret',
        "select $$secret",
        "select E'secret\\",
        "select 1 /* secret",
        "select 1 \\ secret",
    ],
)
def test_nothing_is_shown_where_literals_cannot_be_told_for_certain(text: str) -> None:
    assert display_text(text) is None
    assert identity(text) is not None


def test_shown_text_reads_like_sql() -> None:
    text = (
        'SELECT  "Users".id, count(*)::int, a[1] FROM public.users AS u\n'
        "WHERE (u.age >= 18 OR u.name = 'x') AND u.id IN (1,2,3) -- why\n"
    )
    assert display_text(text) == (
        'select "Users".id, count(*)::int, a[?] from public.users as u '
        "where (u.age >= ? or u.name = ?) and u.id in (?)"
    )


def test_long_text_is_cut_and_says_so() -> None:
    shown = display_text("select " + ", ".join(f"column_{n}" for n in range(100)))
    assert shown is not None
    assert len(shown) == SHOWN_CHARACTERS
    assert shown.endswith("…")


def test_a_long_list_takes_no_longer_than_its_length() -> None:
    # Each `?` could begin a list: a careless pattern would try them all.
    text = "select " + ", ".join(f"${n}::uuid, a" for n in range(20_000))
    assert tokens(text).count("a") == 20_000
