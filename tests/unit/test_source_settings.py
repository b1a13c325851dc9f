"""Sources in the settings: what cannot be right is refused, in one line without a secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import UsageError
from exporter.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter-of-tokens"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def _problem(config: Path, source: Any, name: str = "metrics") -> str:
    config.write_text(json.dumps({"sources": {name: source}}))
    with pytest.raises(UsageError) as raised:
        load_settings(config)
    message = str(raised.value)
    assert message.startswith(f"{config}:1: sources.")
    assert len(message.splitlines()) == 1
    assert SECRET not in message
    return message


def test_source_has_careful_defaults(config: Path) -> None:
    config.write_text("sources: {metrics: {kind: json, url: 'https://api.example/v1/'}}")
    source = load_settings(config).sources["metrics"]
    assert source.url == "https://api.example/v1"
    assert (source.auth, source.requests_per_minute, source.plain_http) == ("bearer", 30, False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"url": "http://api.example"}, "`plain_http: true` allows http://"),
        ({"url": "https://api.example", "plain_http": True}, "leave plain_http out"),
        ({"url": "ftp://api.example"}, "must begin with https:// and a host"),
        ({"url": "api.example"}, "must begin with https:// and a host"),
        ({"url": "https:///v1"}, "must begin with https:// and a host"),
        ({"url": "https://api.example:99999"}, "not an address"),
        ({"url": f"https://ada:{SECRET}@api.example"}, "put them into a token_file"),
        ({"url": f"https://{SECRET}@api.example"}, "put them into a token_file"),
        ({"url": f"https://api.example/?key={SECRET}"}, "must not hold ? or #"),
        ({"url": f"https://api.example/#{SECRET}"}, "must not hold ? or #"),
        ({"url": "https://api.example/a/../b"}, "must not hold %, `.` or `..`"),
        ({"url": "https://api.example/%2e%2e"}, "must not hold %, `.` or `..`"),
        ({"url": "https://api.example/\n"}, "must not hold spaces, control characters"),
        ({"url": "https://api.example\\@evil"}, "must not hold spaces, control characters"),
        ({"kind": "graphite"}, "kind: must be 'json', 'prometheus' or 'loki'"),
        ({"token": SECRET}, "token: unknown key"),
        ({"requests_per_minute": 0}, "requests_per_minute: "),
        ({"auth": "basic"}, "basic needs a token_file"),
        ({"url": "http://a", "plain_http": True, "ca_file": "/ca"}, "ca_file: has no meaning"),
    ],
)
def test_source_that_cannot_be_right_is_refused(
    config: Path, changed: dict[str, Any], told: str
) -> None:
    right = {"kind": "json", "url": "https://api.example"}
    assert told in _problem(config, {**right, **changed})


def test_name_of_a_source_is_one_that_a_question_can_write(config: Path) -> None:
    source = {"kind": "json", "url": "https://api.example"}
    assert "a source is named in lower case" in _problem(config, source, "My-API")


def test_sources_of_the_environment_are_json_and_their_faults_name_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for value, told in (
        (f"{SECRET}{{", "LOOM_EXPORTER_SOURCES: must be a JSON object"),
        ('{"a": {"kind": "json"}}', "LOOM_EXPORTER_SOURCES.a.url: this key is required"),
    ):
        monkeypatch.setenv("LOOM_EXPORTER_SOURCES", value)
        with pytest.raises(UsageError) as raised:
            load_settings()
        assert str(raised.value) == f"environment: {told}"
