"""A password, however awkward, reaches libpq as it is and nobody else."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from exporter.database.conninfo import conninfo_reader
from exporter.errors import UsageError
from exporter.redaction import redact
from exporter.settings import load_settings
from tests.unit.conftest import forget_secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSWORDS = (
    "with space inside",
    " outside ",
    "it's-quoted'",
    'double"quoted"',
    "back\\slash\\",
    "50%-off%41%zz",
    "at@the@end@",
    "slash/es//",
    "colon:s::",
    "hash#tag#1",
    "question?mark",
    "ampers&and&host=elsewhere",
    "equals=sign",
    "plus+and+space ",
    "ünïcödé-€-密码-🔑",
    "'\\ %@/:#?&=ü\"",
    "p",
    "pw",
    "x@y",
    "***",
    "postgresql://a:b@c/d",
)

passwords = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
    min_size=1,
    max_size=30,
)


def _url(password: str) -> str:
    return f"postgresql://loom_monitor:{quote(password, safe='')}@db.example.org:6543/postgres"


def _query(password: str) -> str:
    return f"postgresql://loom_monitor@db.example.org/postgres?password={quote(password, safe='')}"


def _pairs(password: str) -> str:
    return make_conninfo(host="db.example.org", user="loom_monitor", password=password)


def _quoted_pairs(password: str) -> str:
    quoted = password.replace("\\", r"\\").replace("'", r"\'")
    return f"host=db.example.org password = '{quoted}' user=loom_monitor"


WAYS: dict[str, Callable[[str], str]] = {
    "in a URL": _url,
    "as a parameter of a URL": _query,
    "as a key": _pairs,
    "as a quoted key": _quoted_pairs,
}


def _read(conninfo: str) -> str:
    return conninfo_reader(load_settings(None, {"database_url": conninfo}))()


def _assert_hidden(password: str, conninfo: str) -> None:
    if len(password) < 3:
        return  # hiding every "a" would garble each line and protect nothing
    for form in (password, quote(password, safe=""), repr(password)[1:-1], conninfo):
        assert password not in redact(f"said: {form} !")
        assert quote(password, safe="") not in redact(f"said: {form} !")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("password", PASSWORDS)
def test_awkward_password_is_accepted_and_hidden(way: str, password: str) -> None:
    conninfo = _read(WAYS[way](password))
    assert conninfo_to_dict(conninfo)["password"] == password
    if password != "***":
        _assert_hidden(password, conninfo)


@pytest.mark.parametrize("way", WAYS)
@given(password=passwords)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_password_is_accepted_and_hidden(way: str, password: str) -> None:
    forget_secrets()
    # A short one is not hidden inside of other words, such as `loo` in the name of the user.
    assume(password not in f"said: {WAYS[way]('0')} !")
    conninfo = _read(WAYS[way](password))
    assert conninfo_to_dict(conninfo)["password"] == password
    if not set(password) <= {"*"}:
        _assert_hidden(password, conninfo)


@pytest.mark.parametrize("password", PASSWORDS)
def test_password_in_a_file_is_accepted_and_read_anew(password: str, tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text(f"{_url(password)}\n", encoding="utf-8")
    read = conninfo_reader(load_settings(None, {"database_url_file": path}))
    assert conninfo_to_dict(read())["password"] == password
    path.write_text(_url("the next one"), encoding="utf-8")
    assert conninfo_to_dict(read())["password"] == "the next one"
    assert redact("the next one") == "***"


BADLY_WRITTEN = (
    "postgresql://u:{}@db.example.org/postgres",
    "postgresql://u:{}@db.example.org:6543/postgres?sslmode=require",
    "postgresql://u@db.example.org/postgres?password={}",
    "postgresql://u@db.example.org/postgres?password={}&sslmode=require",
    "host=db.example.org password={} user=u",
    "host=db.example.org password='{} user=u",
    "host=db.example.org password='{}' user=u",
    "password={}",
    "{}",
    "postgresql://{}",
    "postgresql//u:{}@db.example.org/postgres",
)


def _complaint(conninfo: str) -> str | None:
    """Return what is said of `conninfo`, or None if it is accepted as it stands."""
    try:
        read = _read(conninfo)
    except UsageError as error:
        return str(error)
    assert read == conninfo.strip()
    return None


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://u:Xq7@Zv9@db.example.org/postgres",
        "postgresql://u:Xq7/Zv9@db.example.org/postgres",
        "postgresql://u:77/Zv9@db.example.org/postgres",
        "postgresql://u:Xq7%Zv9@db.example.org/postgres",
        "postgresql://u:%FF%FE@db.example.org/postgres",
        "postgresql://u:%00Xq7@db.example.org/postgres",
        "postgresql://u@db.example.org/postgres?password=Xq7&Zv9",
        "postgresql://u@db.example.org/postgres?password=Xq7 Zv9",
        "postgresql://u@db.example.org/postgres?passwort=Xq7Zv9",
        "host=db.example.org password=Xq7 Zv9",
        "host=db.example.org password='Xq7Zv9",
        "host=db.example.org passwort=Xq7Zv9",
        "db.example.org:Xq7Zv9",
        "postgresql://u:latin-\udce9-Xq7Zv9@db.example.org/postgres",
    ],
)
def test_wrongly_written_password_is_told_without_it(conninfo: str) -> None:
    message = _complaint(conninfo)
    assert message is not None, "accepted"
    assert message.startswith("command line: --database_url: ")
    assert "percent-encode" in message
    assert len(message.splitlines()) == 1
    for fragment in ("Xq7", "Zv9", "example", "latin"):
        assert fragment not in message


@given(template=st.sampled_from(BADLY_WRITTEN), password=passwords)
@example(template=BADLY_WRITTEN[0], password="ABC@DEF/GHI")
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_complaint_is_the_same_whatever_the_password(template: str, password: str) -> None:
    forget_secrets()
    message = _complaint(template.format(password))
    # A word of the sentence that is also the password is hidden there, and here.
    same = [
        _complaint(conninfo)
        for conninfo in (
            *("postgresql://u:A@B@h", "=", " ", "postgresql://h:x", "'x'", "X=y"),
            "postgresql://\x7f@",  # without a database, its name is that of the user
        )
    ]
    assert message is None or message in same


@pytest.mark.parametrize(
    ("conninfo", "says"),
    [
        ("postgresql://u:Xq7@h/db?pgbouncer=true", "libpq has no parameter `pgbouncer`; remove it"),
        ("postgresql://u:Xq7@h/db?schema=public", "libpq has no parameter `schema`; remove it"),
        ("postgresql://u:Xq7@h/db?sslmode=require&connection_limit=1", "`connection_limit`"),
        ("host=h password=Xq7 currentSchema=public", "`currentSchema`"),
        ("postgresql://u:Xq7@h/db?ssl=1", "`ssl`; write sslmode=verify-full or sslmode=require"),
        ("postgresql+psycopg://u:Xq7@h/db", "begin it with postgresql://"),
        ("postgres+asyncpg://u:Xq7@h/db", "begin it with postgresql://"),
        ("jdbc:postgresql://h/db?user=u&password=Xq7", "is a JDBC URL; remove `jdbc:`"),
        ('"postgresql://u:Xq7@h/db"', "stands in quotes"),
        ("'postgresql://u:Xq7@h/db'", "stands in quotes"),
        ("DATABASE_URL=postgresql://u:Xq7@h/db", "leave only what follows"),
        ("export DATABASE_URL='postgresql://u:Xq7@h/db'", "leave only what follows"),
        ("postgresql://u:Xq7@h:5432x/db", "the port is not a number from 1 to 65535"),
        ("postgresql://u:Xq7@h:99999/db", "the port is not a number from 1 to 65535"),
        ("postgresql://h:5432x/db", "the port is not a number from 1 to 65535"),
        ("host=h port=5432x password=Xq7", "the port is not a number from 1 to 65535"),
    ],
)
def test_string_that_is_right_elsewhere_is_told_what_to_change(conninfo: str, says: str) -> None:
    forget_secrets()
    message = _complaint(conninfo)
    assert message is not None, "accepted"
    assert says in message
    assert "percent-encode" not in message
    assert "Xq7" not in message


def test_mark_of_an_editor_at_the_beginning_of_the_file_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_bytes(b"\xef\xbb\xbfpostgresql://u:p@h/db\r\n")
    read = conninfo_reader(load_settings(None, {"database_url_file": path}))
    assert read() == "postgresql://u:p@h/db"


def test_empty_string_or_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("\n")
    with pytest.raises(UsageError, match=r"/url: is empty; give a PostgreSQL URL"):
        conninfo_reader(load_settings(None, {"database_url_file": path}))()


def test_file_that_cannot_be_read_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "url"
    read = conninfo_reader(load_settings(None, {"database_url_file": path}))
    with pytest.raises(UsageError, match=r"/url: cannot be read: No such file or directory$"):
        read()
    path.write_bytes(b"postgresql://u:\xff@h/db")
    with pytest.raises(UsageError, match=r"/url: not UTF-8 text$"):
        read()
    path.write_text("postgresql://u:p@h/db")
    assert read() == "postgresql://u:p@h/db"


def test_no_connection_string_says_what_to_set() -> None:
    with pytest.raises(UsageError, match=r"set LOOM_EXPORTER_DATABASE_URL or LOOM_EXPORTER_"):
        conninfo_reader(load_settings())


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://u:p@h1:5432,h2:5433/db?target_session_attrs=read-write",
        "postgresql://u:p@[::1]:5432/db",
        "postgresql:///db?host=/run/postgresql",
        "postgres://user.project:p@aws-0-eu.pooler.example.org:6543/postgres",
        "postgresql://",
        "host=/run/postgresql dbname=loom",
        "service=loom",
        f"postgresql://u:{string.punctuation.replace('@', '').replace('/', '').replace('%', '')}@h",
    ],
)
def test_what_libpq_understands_is_passed_on_as_it_is(conninfo: str) -> None:
    assert _read(f"  {conninfo}\n") == conninfo


def test_ssl_key_password_is_hidden_too() -> None:
    _read("postgresql://u@h/db?sslpassword=key%2Fsecret-1")
    assert redact("key/secret-1 key%2Fsecret-1") == "*** ***"


def test_password_of_the_environment_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "from-libpq's-variable")
    load_settings()
    assert redact("from-libpq's-variable") == "***"
