"""A daemon that is asked: what it is not, and how long it may take."""

from __future__ import annotations

import pytest

from exporter.app import daemon_client
from exporter.app.daemon_client import DaemonError, ask_daemon
from exporter.errors import UsageError
from exporter.settings import load_settings
from tests.support.http_source import HttpSource, Reply

HEADERS = {"Loom-Verdict": "go", "Loom-Ready": "pass"}


def test_answer_is_taken_with_its_words() -> None:
    with HttpSource(lambda _: Reply("GO", headers=HEADERS)) as daemon:
        answer = ask_daemon(load_settings(), daemon.url, "/api/v1/verdict", "text")
        assert (answer.text, answer.verdict, answer.readiness) == ("GO", "go", "pass")
        (request,) = daemon.requests
        assert (request.path, request.parameters) == ("/api/v1/verdict", {"format": "text"})


def test_answer_that_drips_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_client, "TIMEOUT_SECONDS", 0.5)
    drip = Reply((b" " for _ in range(1_000)), headers=HEADERS, pause_seconds=0.05)
    with HttpSource(lambda _: drip) as daemon, pytest.raises(DaemonError, match="within 500ms"):
        ask_daemon(load_settings(), daemon.url, "/report", "html")


def test_answer_without_end_is_cut_off() -> None:
    endless = Reply((b" " * 2**18 for _ in range(1_000)), headers=HEADERS)
    with HttpSource(lambda _: endless) as daemon, pytest.raises(DaemonError, match="too long"):
        ask_daemon(load_settings(), daemon.url, "/report", "html")


def test_another_program_is_no_daemon() -> None:
    with HttpSource(lambda _: Reply("hello")) as other, pytest.raises(DaemonError, match="not a"):
        ask_daemon(load_settings(), other.url, "/api/v1/verdict", "text")


@pytest.mark.parametrize("token", ["tök-secret", "one\ntwo-secret", "two words-secret"])
def test_token_that_no_header_can_hold_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("LOOM_EXPORTER_DAEMON_TOKEN", token)
    with pytest.raises(UsageError, match="LOOM_EXPORTER_DAEMON_TOKEN") as refused:
        ask_daemon(load_settings(), "https://127.0.0.1:9", "/report", "html")
    assert "secret" not in str(refused.value)
