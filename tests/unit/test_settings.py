"""Settings: where they come from, and which place wins."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from exporter.database.conninfo import conninfo_reader
from exporter.errors import UsageError
from exporter.settings import Settings, libpq_service_file, load_settings, packaged_queries

SECRET = "correct-horse-battery"
URL = f"postgresql://loom_monitor:{SECRET}@db.example.org/postgres"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_nothing_is_required_to_load_and_the_defaults_are_as_documented() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.database_name == "", "no URL says it"
    assert settings.listen == ":10187"
    assert settings.queries == packaged_queries()
    assert (settings.queries / "deployment.yaml").is_file()
    assert settings.state_dir == Path(os.environ["XDG_STATE_HOME"]) / "loom-exporter"
    assert (settings.log_format, settings.log_level) == ("console", "info")
    assert (settings.max_interval, settings.hour) == (None, 3600)


def test_command_line_beats_environment_beats_file_beats_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().listen == ":10187"
    config.write_text("listen: :1\ndatabase_name: from_file\n")
    assert load_settings(config).listen == ":1"
    assert load_settings(config, {"listen": ":3"}).listen == ":3"
    monkeypatch.setenv("LOOM_EXPORTER_LISTEN", ":2")
    assert load_settings(config).listen == ":2"
    assert load_settings(config, {"listen": ":3"}).listen == ":3"
    assert load_settings(config, {"listen": None}).listen == ":2"
    assert load_settings(config).database_name == "from_file"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "postgres"),
        ("postgresql://shop_app@db.example.org/My%20Shop?sslmode=require", "My Shop"),
        ("postgresql://shop_app@db.example.org", "shop_app"),
        ("host=db.example.org dbname=shop user=monitor", "shop"),
        ("service=orders", "orders"),
        ("host=db.example.org", "postgres"),
    ],
)
def test_label_is_the_name_in_the_url(
    url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(None, {"database_url": url}).database_name == name
    (tmp_path / "url").write_text(f"\ufeff{url}\n")
    assert load_settings(None, {"database_url_file": tmp_path / "url"}).database_name == name
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_NAME", "set")
    assert load_settings(None, {"database_url": url}).database_name == "set"


def test_name_that_is_no_label_must_be_set() -> None:
    with pytest.raises(UsageError, match="set database_name"):
        load_settings(None, {"database_url": "postgresql://a@b/line%0Afeed"})


def test_url_that_cannot_be_read_is_told_when_it_is_used(tmp_path: Path) -> None:
    settings = load_settings(None, {"database_url_file": tmp_path / "none"})
    assert settings.database_name == ""
    with pytest.raises(UsageError, match="cannot be read"):
        conninfo_reader(settings)()


@pytest.mark.parametrize("variable", ["loom_exporter_listen", "Loom_Exporter_Listen"])
def test_case_of_a_variable_does_not_matter(
    config: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    config.write_text("listen: :1\n")
    monkeypatch.setenv(variable, ":2")
    assert load_settings(config).listen == ":2"


def test_empty_variable_is_as_good_as_none(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_LISTEN", "")
    assert load_settings().listen == ":10187"
    config.write_text("listen: :1\n")
    assert load_settings(config).listen == ":1"


def test_file_may_be_named_by_a_variable(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("database_name: other\n")
    monkeypatch.setenv("LOOM_EXPORTER_CONFIG", str(config))
    assert load_settings().database_name == "other"


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "---\n"])
def test_empty_file_sets_nothing(config: Path, content: str) -> None:
    config.write_text(content)
    assert load_settings(config) == load_settings()


def test_every_setting_can_be_given_in_each_way(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "database_url_file": "/run/secrets/url",
        "probe_database_url_file": "/run/secrets/probe-url",
        "probe_subjects": {"client": "00000000-0000-4000-8000-000000000002"},
        "database_name": "other",
        "server_connections": "12",
        "listen": "127.0.0.1:9",
        "web_config_file": "/etc/web.yml",
        "queries": "/srv/queries",
        "sources": {"metrics": {"kind": "prometheus", "url": "https://prometheus.example"}},
        "suites": "/srv/suites",
        "state_dir": "/srv/state",
        "max_interval": "5s",
        "hour": "1m",
        "statement_text": "off",
        "daemon_user": "ada",
        "daemon_ca_file": "/etc/ca.pem",
        "log_format": "json",
        "log_level": "debug",
    }
    secrets = {"database_url", "probe_database_url", "daemon_password", "daemon_token"}
    several = {"databases", "databases_from"}
    assert {*values, *secrets, *several} == set(Settings.model_fields)
    config.write_text("".join(f"{key}: {value!r}\n" for key, value in values.items()))
    from_file = load_settings(config)
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"LOOM_EXPORTER_{key.upper()}", text)
    assert load_settings() == from_file == load_settings(None, dict(values))
    assert (from_file.max_interval, from_file.hour) == (5, 60)
    assert from_file.statement_text is False
    assert from_file.state_dir == Path("/srv/state")
    assert from_file.sources["metrics"].url == "https://prometheus.example"


def test_user_without_a_home_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the user of a container whose number no /etc/passwd has."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert load_settings().state_dir.name == "loom-exporter"
    assert not libpq_service_file().exists()


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_URL", URL)
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == URL
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "variable",
    [
        "LOOM_EXPORTER_SERVICE_HOST",
        "LOOM_EXPORTER_SERVICE_PORT",
        "LOOM_EXPORTER_SERVICE_PORT_METRICS",
        "LOOM_EXPORTER_PORT",
        "LOOM_EXPORTER_PORT_10187_TCP",
        "LOOM_EXPORTER_PORT_10187_TCP_ADDR",
        "LOOM_EXPORTER_PORT_10187_TCP_PROTO",
    ],
)
def test_variables_of_kubernetes_are_no_settings(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "tcp://10.0.0.1:10187")
    assert load_settings().listen == ":10187"


@pytest.mark.parametrize(
    "listen",
    [":0", ":10187", "127.0.0.1:65535", "localhost:1", "[::1]:10187", "[::]:10187", "a-b.c:8080"],
)
def test_listen_address_is_accepted(monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_LISTEN", listen)
    assert load_settings().listen == listen
