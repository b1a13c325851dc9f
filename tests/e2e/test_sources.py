"""Sources beyond the database, as an operator has them: hanging, well, with a rotated token."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from exporter.database.roles import ROLE
from tests.support.daemon import COMMAND, Daemon, command, environment
from tests.support.http_source import HttpSource, Reply, as_json
from tests.support.observers import FAST_SECONDS, Scraper, eventually
from tests.support.queries import DEPLOYMENT, http_query_text, make_folder, query_text
from tests.support.state import opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.http_source import Request
    from tests.support.loom_database import LoomDatabase

TOKENS = ("sbp_5f+Kq/2=Zx", "ghp_8Lw+Rn/4=Vy")
SUITES = "suites:\n  rls: {title: Row-level security, planned: 2}\n"
GAUGE = {"type": "gauge", "help": "Things.", "labels": ["kind"], "value": "things"}


def _asked(source: str, metric: str, **changed: Any) -> str:
    return http_query_text(source=source, metrics={metric: GAUGE}, **changed)


def _folder(folder: Path, **queries: str) -> Path:
    files = {name.replace("_http", ".http.yaml"): text for name, text in queries.items()}
    often = query_text({"loom_often": {"value": "things"}}, interval="500ms", timeout="200ms")
    return make_folder(
        folder / "queries",
        {"often.sql": often, "deployment.yaml": DEPLOYMENT + SUITES, **files},
    )


def _config(folder: Path, **sources: dict[str, Any]) -> dict[str, str]:
    path = folder / "config.yaml"
    path.write_text(json.dumps({"sources": sources, "suites": str(folder / "suites")}))
    (folder / "suites").mkdir(exist_ok=True)
    return {"LOOM_EXPORTER_CONFIG": str(path), "LOOM_EXPORTER_MAX_INTERVAL": "1s"}


@pytest.mark.timing
def test_source_that_hangs_delays_neither_a_scrape_nor_sql_nor_the_end(
    monitored: LoomDatabase, tmp_path: Path
) -> None:
    with HttpSource(lambda _: None) as hung:
        queries = _folder(
            tmp_path,
            **{
                f"hung_{number}_http": _asked("hung", f"loom_hung_{number}", timeout="50s")
                for number in range(6)
            },
        )
        env = {**_config(tmp_path, hung=hung.settings()), "LOOM_EXPORTER_QUERIES": str(queries)}
        with Daemon(monitored.dsn(ROLE), env=env) as daemon:
            daemon.wait_until_ready()
            eventually("the source is asked", lambda: hung.requests, within_seconds=30)
            with Scraper(daemon.port, "loom_exporter_query_runs_total") as scraper:
                time.sleep(4)
            assert [each for each in scraper.scrapes if each.problem] == []
            slow = [each.seconds for each in scraper.scrapes if each.seconds > FAST_SECONDS]
            assert len(slow) <= len(scraper.scrapes) / 20, slow
            page = daemon.page()
            assert (page.value("loom_exporter_query_runs_total", query="often") or 0) > 6
            assert page.states["often"] == "ok"
            assert not any(query.startswith("hung") for query in page.states)
            assert daemon.stop() < 4
            assert daemon.process.returncode == 0


def test_token_is_used_rotated_and_told_nowhere(monitored: LoomDatabase, tmp_path: Path) -> None:
    accepted = TOKENS[0]

    def answer(request: Request) -> Reply:
        """Repeat the token wherever a source could."""
        sent = request.headers.get("authorization", "")
        if sent != f"Bearer {accepted}":
            return as_json({"message": f"bad credentials: {sent}"}, status=401)
        if request.path == "/broken":
            return as_json({"error": f"in the name of {sent}"})
        if request.path == "/refused":
            return as_json({"message": f"no {sent}"}, status=400)
        return as_json([{"kind": sent, "things": 1}])

    token_file = tmp_path / "token"
    token_file.write_text(accepted)
    with HttpSource(answer) as source:
        queries = _folder(
            tmp_path,
            well_http=_asked("api", "loom_well", interval="1s", timeout="900ms"),
            broken_http=_asked(
                "api",
                "loom_broken",
                path="/broken",
                fail_if="error",
                interval="1s",
                timeout="900ms",
            ),
            refused_http=_asked(
                "api", "loom_refused", path="/refused", interval="1s", timeout="900ms"
            ),
        )
        settings = source.settings(token_file=str(token_file), requests_per_minute=600)
        env = {**_config(tmp_path, api=settings), "LOOM_EXPORTER_QUERIES": str(queries)}
        with Daemon(
            monitored.dsn(ROLE), "--log-level", "debug", "--log-format", "json", env=env
        ) as daemon:
            states = {"well": "ok", "broken": "error", "refused": "error"}
            eventually(
                "it answers",
                lambda: states.items() <= daemon.page().states.items(),
                within_seconds=60,
            )
            accepted = TOKENS[1]
            eventually(
                "the old token is refused",
                lambda: daemon.page().states.get("well") == "denied",
                within_seconds=60,
            )
            token_file.write_text(accepted)
            eventually(
                "the new one is used",
                lambda: daemon.page().states.get("well") == "ok",
                within_seconds=60,
            )
            shown = [
                daemon.get(path).body for path in ("/", "/report", "/api/v1/verdict", "/-/ready")
            ]
            shown.append(eventually("the source's words are shown", lambda: _echo(daemon)))
            daemon.stop()
            shown += [daemon.stdout, daemon.stderr]
        for arguments in (["check", "--sources"], ["check", "--sources", "--format", "json"]):
            done = command(*arguments, env=env)
            assert done.returncode == 2
            shown += [done.stdout, done.stderr]
        done = command(
            "run", "broken", env={**env, "LOOM_EXPORTER_DATABASE_URL": monitored.dsn(ROLE)}
        )
        assert (done.returncode, "in the name of Bearer ***" in done.stderr) == (1, True), done
        shown += [done.stdout, done.stderr]
    assert len(source.requests) > 6
    for text in shown:
        for token in TOKENS:
            assert token[:8] not in text


def _echo(daemon: Daemon) -> str:
    """Return /metrics if it has what the source has said, which is dropped if it is not new."""
    body = daemon.get("/metrics").body
    return body if 'kind="Bearer ***"' in body else ""


def test_suite_is_recorded_through_a_pipe(tmp_path: Path) -> None:
    """As a pipeline does it, by `kubectl exec --stdin`."""
    with opened(tmp_path / "state" / "state.sqlite3", owner=True):
        pass  # as a daemon has left it
    arguments = (*COMMAND, "record", "rls", "/dev/stdin", "--queries", str(_folder(tmp_path)))
    done = subprocess.run(
        arguments,
        env=environment(
            {
                "LOOM_EXPORTER_STATE_DIR": str(tmp_path / "state"),
                "LOOM_EXPORTER_DATABASE_NAME": "loom",
            }
        ),
        input="1..2\nok 1\nok 2\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = (done.returncode, done.stdout, done.stderr)
    assert told == (0, "rls: 2 passed, 0 failed, 0 skipped, 2 planned\n", "")


def test_suite_in_the_folder_is_recorded_and_shown(monitored: LoomDatabase, tmp_path: Path) -> None:
    env = {**_config(tmp_path), "LOOM_EXPORTER_QUERIES": str(_folder(tmp_path))}
    with Daemon(monitored.dsn(ROLE), env=env) as daemon:
        daemon.wait_until_ready()
        assert daemon.page().series("loom_suite_tests") == {}
        path = tmp_path / "suites" / "rls.staging.tap"
        path.write_text("1..2\nok 1 - a\nnot ok 2 - b\n")
        os.utime(path, (time.time() - 60,) * 2)
        eventually(
            "it is recorded",
            lambda: daemon.page().value("loom_suite_tests", suite="rls", outcome="failed") == 1,
            within_seconds=60,
        )
        page = daemon.page()
        assert page.value("loom_suite_tests", suite="rls", outcome="missing") == 0
        at = page.value("loom_suite_timestamp_seconds", suite="rls")
        assert at == pytest.approx(time.time() - 60, abs=60)
        assert page.states["suites"] == "ok"
