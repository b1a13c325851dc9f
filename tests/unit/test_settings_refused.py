"""A setting that is wrong is refused in one line: which, where it stands, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from exporter.errors import UsageError
from exporter.settings import load_settings
from tests.support.commands import run

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery"
URL = f"postgresql://loom_monitor:{SECRET}@db.example.org/postgres"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def _complaint(config: Path | None = None, overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(UsageError) as raised:
        load_settings(config, overrides)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert SECRET not in message
    return message


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("LOOM_EXPORTER_DATABSE_URL", "did you mean LOOM_EXPORTER_DATABASE_URL?"),
        ("LOOM_EXPORTER_LISTEN_ADDRESS", "did you mean LOOM_EXPORTER_LISTEN?"),
        ("loom_exporter_log_fromat", "unknown setting; "),
        ("LOOM_EXPORTER_", "unknown setting; "),
        ("LOOM_EXPORTER_PORTS", "unknown setting; "),
    ],
)
def test_unknown_variable_is_an_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    monkeypatch.setenv(variable, URL)
    message = _complaint()
    assert message.startswith(f"environment: {variable}: unknown setting; ")
    assert hint in message


@pytest.mark.parametrize(
    "listen",
    [
        "10187",
        "localhost",
        "localhost:",
        ":65536",
        ":-1",
        "::1:10187",
        "[::1]",
        "[x]:1",
        "a b:1",
        ":1\n",
        "http://localhost:10187",
        "localhost:http",
        "localhost:10187/",
    ],
)
def test_bad_listen_address_is_told_with_examples(
    monkeypatch: pytest.MonkeyPatch, listen: str
) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_LISTEN", listen)
    assert _complaint() == (
        "environment: LOOM_EXPORTER_LISTEN: must be host:port, such as 127.0.0.1:10187, "
        "[::1]:10187 or :10187"
    )


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("max_interval", "15", "a duration is a number and a unit"),
        ("max_interval", "-5s", "a duration is a number and a unit"),
        ("max_interval", "fast", "a duration is a number and a unit"),
        ("max_interval", "0s", "greater than 0"),
        ("log_format", "xml", "'console' or 'json'"),
        ("log_level", "INFO", "'debug', 'info', 'warning' or 'error'"),
        ("database_name", " ", "must be 1 to 63 printable characters"),
        ("database_name", "x" * 64, "must be 1 to 63 printable characters"),
        ("database_name", "a\tb", "must be 1 to 63 printable characters"),
    ],
)
def test_bad_value_is_told_with_its_place(
    config: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, remedy: str
) -> None:
    config.write_text(f"# Settings.\n{key}: {json.dumps(value)}\n")
    message = _complaint(config)
    assert message.startswith(f"{config}:2: {key}: ")
    assert remedy in message
    message = _complaint(None, {key: value})
    assert message.startswith(f"command line: --{key}: ")
    assert remedy in message
    monkeypatch.setenv(f"LOOM_EXPORTER_{key.upper()}", value)
    message = _complaint()
    assert message.startswith(f"environment: LOOM_EXPORTER_{key.upper()}: ")
    assert remedy in message


@pytest.mark.parametrize(
    ("content", "where", "remedy"),
    [
        ("listen: :1\nlisten_on: :2\n", ":2: listen_on: ", "unknown key; check its spelling"),
        ("listen: :1\nlisten: :2\n", ":2: listen: ", "this key stands here twice"),
        ("- listen\n", ": ", "must hold settings as `key: value`"),
        (f"{URL}\n", ": ", "must hold settings as `key: value`"),
        (f'database_url: "{URL}\n', ":2: ", "not YAML: found unexpected end of stream"),
        (f"database_url: {URL}\n\tlisten: :1\n", ":2: ", "indent with spaces"),
        (f"database_url: [{URL}]\n", ":1: database_url: ", "must be text"),
        (f"database_url: {{password: {SECRET}}}\n", ":1: database_url: ", "must be text"),
        ("listen: {a: b}\n", ":1: listen: ", "must be text"),
        ("listen:\n", ":1: listen: ", "must be text"),
        ("database_name: 5\n", ":1: database_name: ", "must be text; put it in quotes"),
        ("log_level: debug\nmax_interval: 15\n", ":2: max_interval: ", "a number and a unit"),
        (f"database_url: {URL}\nport: 1\n", ":2: port: ", "unknown key"),
    ],
)
def test_broken_file_is_told_with_file_and_line(
    config: Path, content: str, where: str, remedy: str
) -> None:
    config.write_text(content)
    message = _complaint(config)
    assert message.startswith(f"{config}{where}")
    assert remedy in message


def test_file_that_cannot_be_read_is_told(config: Path, tmp_path: Path) -> None:
    assert _complaint(config) == f"{config}: cannot be read: No such file or directory"
    assert _complaint(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    config.write_bytes(b"listen: \xff")
    assert _complaint(config) == f"{config}: not UTF-8 text; save it as UTF-8"


def test_empty_variable_hides_no_fault_of_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_LISTEN", "")
    config.write_text("listen: nonsense\n")
    assert _complaint(config).startswith(f"{config}:1: listen: must be host:port")


def test_url_and_file_of_it_exclude_each_other(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("database_url_file: /run/secrets/url\n")
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_URL", URL)
    assert _complaint(config) == (
        "settings: database_url and database_url_file are both set; give one"
    )


@pytest.mark.parametrize("command", ["serve", "check", "run things", "grants", "healthcheck"])
def test_every_command_tells_it_in_one_line_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_DATABASE_URL", URL)
    monkeypatch.setenv("LOOM_EXPORTER_LOG_LEVEL", "loud")
    result = run(*command.split())
    assert result.exit_code == 2
    assert result.stderr == (
        "loom-exporter: environment: LOOM_EXPORTER_LOG_LEVEL: "
        "must be 'debug', 'info', 'warning' or 'error'\n"
    )


@pytest.mark.parametrize("command", ["serve", "check --database", "run database_size"])
def test_command_without_a_database_says_what_to_set(command: str) -> None:
    result = run(*command.split(), *_listen_nowhere(command))
    assert result.exit_code == 2
    assert result.stderr.startswith("loom-exporter: settings: no database; set LOOM_EXPORTER_DATA")
    assert len(result.stderr.splitlines()) == 1


def _listen_nowhere(command: str) -> list[str]:
    return ["--listen", "127.0.0.1:0"] if command == "serve" else []


def test_options_of_the_command_line_are_named_as_they_are_typed() -> None:
    result = run("serve", "--web.listen-address", "nowhere")
    assert result.exit_code == 2
    assert result.stderr.startswith("loom-exporter: command line: --listen: must be host:port")
