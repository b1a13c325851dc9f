"""A statement is named by its structure, whatever its literals, and shows none of them."""

from __future__ import annotations

import gc
import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.parser import LONGEST_PARSED
from exporter.statements.text import (
    SHOWN_CHARACTERS,
    display_text,
    identity,
    parse_statement,
)

MARK = "Zq7Secret"

_TEXT = st.text(alphabet="'\"\\$?x1é \n-/*", max_size=8)
_TAG = st.sampled_from(("", "a", "Body", "_1"))


def _shown(text: str | None) -> str | None:
    statement = parse_statement(text)
    return display_text(statement) if statement else None


def _quoted(prefix: str, text: str) -> str:
    return prefix + "'" + text.replace("'", "''") + "'"


def _escaped(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _dollar(tag: str, text: str) -> str:
    return f"${tag}${text.replace('$', '')}${tag}$"


STRINGS = st.one_of(
    st.builds(_quoted, st.sampled_from(("", "U&")), st.just(MARK)),
    st.builds(lambda a, b: _quoted("", f"{a}{MARK}{b}"), _TEXT, _TEXT),
    st.builds(lambda a, b: _escaped(f"{a}{MARK}{b}"), _TEXT, _TEXT),
    st.builds(lambda tag, a, b: _dollar(tag, f"{a}{MARK}{b}"), _TAG, _TEXT, _TEXT),
    st.builds(lambda a, b: f"'{a}'\n  '{MARK}{b}'", st.just("x"), st.just("y")),
)
NUMBERS = st.sampled_from(
    ("918273", "918273.5", ".918273", "918273.", "9.18273e5", "918273E-5", "0x918273", "918_273")
)
CONSTANTS = st.sampled_from(("$1", "$918273", "true", "NULL", "x'918'", "b'01'"))
LITERALS = st.one_of(STRINGS, NUMBERS, CONSTANTS)

COMMENTS = st.sampled_from(
    (f"-- {MARK} it's\n", f"/* {MARK} */", f"/* a /* ' {MARK} */ \" */", "--\n", "/**/")
)
GAPS = st.lists(st.sampled_from((" ", "\n", "\t", "\r\n")) | COMMENTS, max_size=3).map(
    lambda parts: " " + "".join(parts)
)

# What a statement is made of: `literal` and `list` are replaced each time it is written. No literal
# follows another: a string would continue in it.
CONDITIONS = st.sampled_from(
    (
        "a = literal",
        '"B ""c""" <> literal',
        "u . age in ( list )",
        "d between literal and literal",
        "a1$ like literal",
        "f ->> literal is not null",
        "g @> literal is true",
        "été + literal > h - literal",
        "any_of ( h , literal )",
        "i = any ( array [ list ] )",
        "j [ literal ] = literal :: uuid",
        "case when k then literal else l end = m",
        "exists ( select literal from t where n = literal )",
        "( o , p ) in ( ( literal , literal ) )",
    )
)
SKELETONS = st.builds(
    lambda start, conditions, end: f"{start} {' and '.join(conditions)}{end}",
    st.sampled_from(
        (
            'select "Users" . id , count ( * ) from users u where',
            "with c as ( select literal from t ) select * from c where",
            "update public . users u set age = literal where",
            'delete from "it\'s" where',
            "insert into t select literal , a from u where",
        )
    ),
    st.lists(CONDITIONS, min_size=1, max_size=5),
    st.sampled_from(("", " ;")),
)


@st.composite
def written(draw: st.DrawFn, skeleton: str) -> str:
    """Write a statement in one of the ways in which it can be written."""
    parts = []
    for piece in _pieces(skeleton):
        match piece:
            case "literal":
                parts.append(draw(LITERALS))
            case "list":
                values = draw(st.lists(LITERALS, min_size=1, max_size=3))
                more = draw(st.sampled_from(("", " /*, ... */")))
                parts.append(", ".join(values) + more)
            case _:
                parts.append(_case(draw, piece))
    return "".join(draw(GAPS) + part for part in parts)


def _pieces(skeleton: str) -> list[str]:
    """Split at spaces outside quoted names."""
    pieces, is_open = [""], False
    for character in skeleton:
        is_open ^= character == '"'
        if character == " " and not is_open:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def _case(draw: st.DrawFn, piece: str) -> str:
    if not piece.isascii() or piece.startswith('"'):
        return piece
    return piece.upper() if draw(st.booleans()) else piece


@given(st.data(), SKELETONS)
def test_identity_knows_no_case_space_comment_literal_or_width_of_a_list(
    data: st.DataObject, skeleton: str
) -> None:
    one, other = data.draw(written(skeleton)), data.draw(written(skeleton))
    assert identity(one)
    assert identity(one) == identity(other)


@given(st.data(), SKELETONS)
def test_no_literal_and_no_comment_is_shown(data: st.DataObject, skeleton: str) -> None:
    text = data.draw(written(skeleton))
    shown = _shown(text)
    assert shown or "\\'" in text or "/* a /*" in text
    assert MARK.lower() not in (shown or "").lower()
    assert "918" not in (shown or "")
    assert len(shown or "") <= SHOWN_CHARACTERS


@given(STRINGS, st.sampled_from(("", "a = ", "a in (1, ")), st.data())
def test_no_part_of_a_literal_is_shown_of_a_text_that_breaks_off(
    string: str, before: str, data: st.DataObject
) -> None:
    text = f"select * from t where {before}{string}"
    shown = _shown(text[: data.draw(st.integers(0, len(text)))]) or ""
    assert "zq7" not in shown.lower()


@given(st.text(), st.sampled_from(("", "select ", "select a from t where b = ")))
def test_any_text_whatever_is_read(text: str, before: str) -> None:
    _shown(before + text)


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
    assert identity(raw)
    assert identity(raw) == identity(stored)


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
        ("select a from t1", "select a from t2"),
        ("select m.a from t m", "select n.a from t n"),
        ("select a - b from t", "select b - a from t"),
        ("select count(*) from t", "select count(a) from t"),
        ("select a from t limit $1", "select a from t"),
        ("select a from t order by a", "select a from t order by a desc"),
        ("select a from t for update", "select a from t"),
        ("select a::int from t", "select a::text from t"),
        ("select f(a => $1)", "select f(b => $1)"),
    ],
)
def test_statements_that_differ_in_more_have_identities_of_their_own(one: str, other: str) -> None:
    assert identity(one)
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A cast that keeps an index from being used must be compared with how it was before.
        ("select a from t where b = $1", "select a from t where b = $1::numeric"),
        ("insert into t values ($1, $2)", "insert into t values ($1, $2), ($3, $4)"),
        ("insert into t (a, b) values ($1, $2)", "insert into t (b, a) values ($1, $2)"),
        ("select a, b as c from t", "select b, a from t"),
        ("select a from t where b and c", "select a from t where c and b"),
        ("select f($1)", "select f($1, $2)"),
        ("select a from events_20251013", "select a from events_20251014"),
        ("savepoint a", "savepoint b"),
    ],
)
def test_statements_that_one_place_in_an_application_sends_are_one(one: str, other: str) -> None:
    assert identity(one)
    assert identity(one) == identity(other)


def test_identity_is_what_it_was() -> None:
    # Baselines hold it: another normalisation needs another name.
    assert identity("SELECT a,b FROM t WHERE c IN ($1,$2) -- x") == "294a4141f672df0d"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  ",
        "<insufficient privilege>",
        "-- only this",
        ";",
        "select 'secret",
        'select "secret',
        "select $$secret",
        "select E'secret\\",
        "select 1 /* secret",
        "select 1 \\ secret",
        "select 'secret' from",
        "select '\ud800'",
        "select 1\0, secret",
        f"select '{'x' * LONGEST_PARSED}'",
    ],
    ids=repr,
)
def test_no_text_and_no_sql_has_no_identity(text: str | None) -> None:
    assert parse_statement(text) is None
    assert identity(text) is None


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
    assert identity(text)
    assert _shown(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "select 'x\\' secret -- '",  # as standard_conforming_strings = off would have it
        "select 'x\\', E'it\\'s secret'",
        "select 1 /* /* secret */ secret */",
        # Literals that normalisation leaves as they are.
        "with c as (select 1 as a) cycle a set b to 'secret' default 'x' using p select * from c",
        "with c as (select 1 as a) cycle a set b to $$secret$$ default $$x$$ using p select 1",
        "select * from json_table($1, '$.a' columns (x text path '$.secret'))",
        "select 1; select 'secret'",
    ],
)
def test_nothing_is_shown_where_literals_cannot_be_told_for_certain(text: str) -> None:
    assert identity(text)
    assert _shown(text) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("select a from t order by 918273", "select a from t order by ?"),
        ("select a::varchar(20) from t limit 5", "select a::varchar(?) from t limit ?"),
        ("select a from t where b in ($1 /*, ... */)", "select a from t where b in (?)"),
        ("select d ? 'key', d #>> '{a,b}'", "select d ? ?, d #>> ?"),
        ("/* why */ select 1; -- done", "select ?"),
        ("(select 1)", "(select ?)"),
        ("insert into t values (1, 'x'), (2, 'y')", "insert into t values (?), (?)"),
    ],
)
def test_shown_text_is_stable_and_short(text: str, shown: str) -> None:
    assert _shown(text) == shown


def test_shown_text_reads_like_sql() -> None:
    text = (
        'SELECT  "Users".id, count(*)::int, a[1] FROM public.users AS u\n'
        "WHERE (u.age >= 18 OR u.name = 'x') AND u.id IN (1,2,3) -- why\n"
    )
    assert _shown(text) == (
        'SELECT "Users".id, count(*)::int, a[?] FROM public.users AS u '
        "WHERE (u.age >= ? OR u.name = ?) AND u.id IN (?)"
    )


def test_long_text_is_cut_and_says_so() -> None:
    shown = _shown("select " + ", ".join(f"column_{n}" for n in range(100)))
    assert shown is not None
    assert len(shown) == SHOWN_CHARACTERS
    assert shown.endswith("…")


# Each can be repeated without end, and makes the tree one level deeper.
LEVELS = {
    "+": ("select ", "1 + ", "1", ""),
    "||": ("select ", "a || ", "a", ""),
    "->": ("select a", " -> 'x'", "", ""),
    "::": ("select a", "::t", "", ""),
    "not": ("select ", "not ", "a", ""),
    "(": ("select ", "(", "1", ")"),
    "[": ("select array", "[", "1", "]"),
    "f(": ("select ", "f(1, ", "1", ")"),
    "row": ("select ", "row(", "1", ")"),
    "case": ("select ", "case when a then b else ", "c", " end"),
    "select": ("select * from ", "(select * from ", "t", ") as x"),
    "join": ("select 1 from t", " join t on a", "", ""),
    "union": ("select 1", " union all select 1", "", ""),
    "+-": ("select ", "+-", "1", ""),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("share", [0.02, 0.2, 1.0])
def test_no_nesting_ends_the_process(level: str, share: float) -> None:
    before, opening, middle, closing = LEVELS[level]
    room = LONGEST_PARSED - len(before) - len(middle)
    times = int(share * room / len(opening + closing))
    text = before + opening * times + middle + closing * times
    thread = threading.Thread(target=_shown, args=(text,))
    before_stack = threading.stack_size(8 * 2**20)
    try:
        thread.start()
    finally:
        threading.stack_size(before_stack)
    thread.join()  # a stack that is too small ends the whole process


@pytest.mark.parametrize(
    ("before", "repeated", "after"),
    [
        ("select ", "+-", "1"),
        ("select ", "column_a, ", "b"),
        ("select a from t where b in (", "$1, ", "$1)"),
        ("select a from t where ", "b = 1 or ", "c"),
        ("select a from t where b = '", "-- /* $1 ", "'"),
        ("insert into t values ", "(1, 'x'), ", "(2)"),
        ("/*", "+-/", "*/ select 1"),
    ],
)
def test_time_grows_with_the_length_of_a_text_and_not_with_its_square(
    before: str, repeated: str, after: str
) -> None:
    # Ten times as long, which by the square would take a hundred times. In turns, so that both find
    # the memory of the process alike.
    short = long = math.inf
    for _ in range(7):
        short = min(short, _seconds(before + repeated * 450 + after))
        long = min(long, _seconds(before + repeated * 4_500 + after))
    assert long < 40 * max(short, 1e-4), (short, long)


def _seconds(text: str) -> float:
    """Return the processor time that a text takes, without a search for garbage of other tests."""
    gc.disable()
    try:
        started = time.thread_time()
        _shown(text)
        return time.thread_time() - started
    finally:
        gc.enable()


def test_list_of_any_length_is_one_literal() -> None:
    text = "select a from t where b in (" + ", ".join(f"${n}" for n in range(1, 7_000)) + ")"
    assert _shown(text) == "select a from t where b in (?)"
    assert identity(text) == identity("select a from t where b in ($1)")
