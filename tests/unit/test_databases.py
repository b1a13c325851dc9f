"""The list `databases`: what it makes of the settings, and what it refuses."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from exporter.app.packs import Packs
from exporter.catalog import CatalogError
from exporter.databases import each_database, pick
from exporter.errors import UsageError
from exporter.settings import load_settings
from tests.support.commands import run
from tests.support.queries import DEPLOYMENT, make_folder, query_text

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery"
URL = f"postgresql://loom_monitor:{SECRET}@db.example.org"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_each_database_has_the_settings_of_its_entry(config: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{URL}/orders")
    config.write_text(
        f"queries: {tmp_path}/common\nstate_dir: {tmp_path}/state\ndatabases:\n"
        f"  - {{name: production, url_file: {tmp_path}/url}}\n"
        f"  - {{url: '{URL}/staging', pack: {tmp_path}/own, suites: {tmp_path}/results}}\n"
        f"  - url_file: {tmp_path}/url\n"
        f"    probe_url: '{URL}/orders'\n"
        f"    probe_subjects: {{a: b}}\n"
        "    sources: {errors: {kind: json, url: 'https://example.org'}}\n"
    )
    first, second, third = each_database(load_settings(config))
    assert [each.database_name for each in (first, second, third)] == [
        "production",
        "staging",
        "orders",
    ]
    assert (first.database_url, first.database_url_file) == (None, tmp_path / "url")
    assert second.database_url is not None
    assert second.database_url.get_secret_value() == f"{URL}/staging"
    assert [each.queries.name for each in (first, second, third)] == ["common", "own", "common"]
    assert [each.suites for each in (first, second)] == [None, tmp_path / "results"]
    assert (third.probe_subjects, first.probe_subjects) == ({"a": "b"}, {})
    assert [[*each.sources] for each in (first, second, third)] == [[], [], ["errors"]]
    assert {each.state_dir for each in (first, second, third)} == {tmp_path / "state"}


def test_without_a_list_there_is_one_database() -> None:
    settings = load_settings(None, {"database_url": f"{URL}/orders"})
    assert each_database(settings) == (settings,)
    assert pick(each_database(settings), None) is settings
    assert pick(each_database(settings), "orders") is settings
    with pytest.raises(UsageError, match="no database other; known are orders"):
        pick(each_database(settings), "other")


def test_list_can_be_given_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_DATABASES", json.dumps([{"url": f"{URL}/orders"}]))
    assert [each.database_name for each in each_database(load_settings())] == ["orders"]


@pytest.mark.parametrize(
    ("databases", "told"),
    [
        ([{"name": "a"}], "databases.0: needs either url or url_file"),
        ([{"url": f"{URL}/a", "url_file": "/b"}], "databases.0: needs either url or url_file"),
        ([{"url": f"{URL}/a", "name": ""}], "databases.0.name: must be 1 to 63 printable"),
        ([{"url": f"jdbc:{URL}/a"}], "databases.0.url: is a JDBC URL"),
        ([{"url": f"{URL}/a", "database": "b"}], "databases.0.database: "),
        ([{"url": f"{URL}/a"}, {"url": f"{URL}/a"}], "databases.1: another one is named a too"),
        ([{"url_file": "/none"}], "databases.0: no name can be read in /none; give it a name"),
        ([{"url": f"{URL}/%0A"}], "databases.0: the name of the database must be 1 to 63"),
        ({"a": f"{URL}/a"}, "databases: "),
    ],
)
def test_list_that_is_wrong_is_refused_in_one_line(
    config: Path, databases: object, told: str
) -> None:
    config.write_text(json.dumps({"databases": databases}))
    with pytest.raises(UsageError) as raised:
        each_database(load_settings(config))
    message = str(raised.value)
    assert told in message
    assert len(message.splitlines()) == 1
    assert SECRET not in message


def test_tenants_have_the_url_of_the_template(config: Path) -> None:
    found = {"query": "SELECT 1", "template": f"{URL}/{{name}}", "pack": "/packs/tenant"}
    config.write_text(json.dumps({"databases": [{"url": f"{URL}/a"}], "databases_from": found}))
    settings = load_settings(config)
    listed, tenant, odd = each_database(settings, ["a", "b", "c/d?e"])
    assert [each.database_name for each in (listed, tenant, odd)] == ["a", "b", "c/d?e"]
    urls = [each.database_url.get_secret_value() for each in (tenant, odd) if each.database_url]
    assert urls == [f"{URL}/b", f"{URL}/c%2Fd%3Fe"]
    assert str(tenant.queries) == "/packs/tenant"
    assert listed.queries == settings.queries
    with pytest.raises(UsageError, match="databases_from: '' cannot be the name of a database"):
        each_database(settings, [""])


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (f"{URL}/tenant", "databases_from.template: must be a URL in which {name}"),
        (f"{URL}/{{tenant}}", "databases_from.template: must be a URL in which {name}"),
        ("host=a dbname={name}", "databases_from.template: must be a URL in which {name}"),
        (f"{URL}/{{name}}?schema=a", "databases_from.template: libpq has no parameter"),
    ],
)
def test_template_that_is_wrong_is_refused(config: Path, template: str, told: str) -> None:
    found = {"query": "SELECT 1", "template": template}
    config.write_text(json.dumps({"databases": [{"url": f"{URL}/a"}], "databases_from": found}))
    with pytest.raises(UsageError) as raised:
        load_settings(config)
    assert told in str(raised.value)
    assert SECRET not in str(raised.value)


def test_tenants_want_a_database_that_is_asked(config: Path) -> None:
    found = {"query": "SELECT 1", "template": f"{URL}/{{name}}"}
    config.write_text(json.dumps({"databases_from": found}))
    with pytest.raises(UsageError, match="needs the database it asks"):
        load_settings(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", f"{URL}/a"),
        ("database_url_file", "/a"),
        ("database_name", "a"),
        ("probe_database_url", f"{URL}/a"),
        ("probe_subjects", {"a": "b"}),
        ("suites", "/a"),
        ("sources", {"errors": {"kind": "json", "url": "https://example.org"}}),
    ],
)
def test_setting_of_one_database_beside_a_list_is_refused(
    config: Path, name: str, value: object
) -> None:
    config.write_text(json.dumps({"databases": [{"url": f"{URL}/b"}], name: value}))
    with pytest.raises(UsageError, match=f"{name} and databases are both set; move {name} into"):
        each_database(load_settings(config))


def test_packs_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    labelled = {"loom_one": {"value": "things", "labels": ["kind"]}}
    folders = {
        "plain": query_text({"loom_one": {"value": "things"}}),
        "same": query_text({"loom_one": {"value": "things"}}, sql="SELECT 2 AS things"),
        "other": query_text(labelled, sql="SELECT 'x' AS kind, 1 AS things"),
    }
    for name, text in folders.items():
        make_folder(tmp_path / name, {"one.sql": text})
    packs = Packs()
    plain = packs.load(tmp_path / "plain")
    assert packs.load(tmp_path / "plain") is plain
    assert packs.load(tmp_path / "same").queries != plain.queries
    with pytest.raises(CatalogError) as refused:
        packs.load(tmp_path / "other")
    assert refused.value.problems[0] == (
        f"{tmp_path}/other: loom_one: has another type or other labels than in {tmp_path}/plain"
    )


def test_packs_that_change_at_the_same_time_do_not_contradict_each_other(tmp_path: Path) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    text = query_text({"loom_one": {"value": "things"}})
    labelled = query_text(
        {"loom_one": {"value": "things", "labels": ["kind"]}},
        sql="SELECT 'x' AS kind, 1 AS things",
    )
    packs = Packs()
    for folder in (left, right):
        make_folder(folder, {"one.sql": text})
        packs.load(folder)
    make_folder(left, {"one.sql": labelled})
    with pytest.raises(CatalogError, match="loom_one: has another type or other labels"):
        packs.load(left)
    make_folder(right, {"one.sql": labelled})
    assert packs.load(left).metrics()["loom_one"].labels == ("kind",)
    assert packs.load(right).metrics()["loom_one"].labels == ("kind",)


def test_pack_that_no_database_uses_any_more_contradicts_nobody(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    make_folder(old, {"one.sql": query_text({"loom_one": {"value": "things"}})})
    other = query_text(
        {"loom_one": {"value": "things", "labels": ["kind"]}},
        sql="SELECT 'x' AS kind, 1 AS things",
    )
    make_folder(new, {"one.sql": other})
    packs = Packs()
    packs.load(old)
    with packs.used([old, new]), pytest.raises(CatalogError):
        packs.load(new)
    with suppress(ZeroDivisionError), packs.used([new]):
        packs.load(new)
        raise ZeroDivisionError  # another entry of the list cannot be used
    with pytest.raises(CatalogError, match="old"):
        packs.load(new)
    with packs.used([new]):
        assert packs.load(new).queries


def test_broken_pack_is_read_once_for_all_databases(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pack", {"one.sql": "SELECT 1"})
    packs = Packs()
    with pytest.raises(CatalogError) as first:
        packs.load(folder)
    with pytest.raises(CatalogError) as second:
        packs.load(folder)
    assert second.value is first.value
    make_folder(folder, {"one.sql": query_text({"loom_one": {"value": "things"}})})
    assert packs.load(folder).queries


def test_check_reads_the_pack_of_tenants_of_which_there_are_none_yet(
    config: Path, tmp_path: Path
) -> None:
    marked = re.sub("    migrations:\n.*\n", "", DEPLOYMENT) + "history: {kind: none}\n"
    sound = {"deployment.yaml": marked, "one.sql": query_text({"loom_one": {"value": "things"}})}
    own = make_folder(tmp_path / "own", sound)
    pack = make_folder(tmp_path / "tenants", {"one.sql": "SELECT 1"})
    found = {"query": "SELECT 'a'", "template": f"{URL}/{{name}}", "pack": str(pack)}
    entry = {"url": f"{URL}/a", "pack": str(own)}
    config.write_text(json.dumps({"databases": [entry], "databases_from": found}))
    told = run("check", "--config", str(config))
    assert (told.exit_code, f"{pack}/one.sql" in told.stderr) == (2, True)
    make_folder(pack, sound)
    assert run("check", "--config", str(config)).exit_code == 0
