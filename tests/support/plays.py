"""Every scenario of the demo, played once for all tests: what was seen, and what was answered."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import psycopg
from psycopg.conninfo import make_conninfo

from exporter.demo.database import DATABASE_NAME
from exporter.demo.play import Scenario
from exporter.demo.processes import free_port
from tests.support.alerting import Alerting
from tests.support.daemon import Page
from tests.support.demo_process import STORY_SECONDS, Demo, Operator, Told
from tests.support.observers import Scraper, eventually
from tests.support.prometheus import Prometheus
from tests.support.shipped_queries import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.support.alerting import Hook, Notified

PLAYED: tuple[Scenario, ...] = get_args(Scenario)
SCENARIOS = tuple(each for each in PLAYED if each != "errors")
"""Those without sources: the errors are in what lies beyond the database, too."""
ALERTED: tuple[Scenario, ...] = ("healthy", "published", "regression")
"""Those that the shipped alert rules watch."""
ACTS: tuple[tuple[Scenario, ...], ...] = (ALERTED, ("rollback", "errors"))
"""Those that play at the same time. All of them want more than two processors, and what each waits
for would come later."""
MANUAL = {name for name, each in DEPLOYMENT.criteria.items() if each.is_signed}
"""The criteria that only people can judge."""
REGRESSIONS = ("LoomStatementRegressionFast", "LoomStatementRegression")
"""The pages for a class that is slower."""

Answers = dict[str, Told]
"""What commands said of a deployment, each under a name."""

BEFORE_SECONDS = "45"
"""Longer than the demo takes by itself: with three of them on one machine, its baseline must stand
calls that are held up for milliseconds."""
SETTLED_SECONDS = 6.0
"""How long a demo is watched after its verdict: three times as long as its queries take turns."""
PAGED_SECONDS = 300.0
"""The limit of the wait for a page after the index is lost, in hours of 30 s."""
UNDER_LOAD = "under load, after it"
"""The demo's message when its database is deployed."""


@dataclass(frozen=True)
class Play:
    """What was seen of one demo, from its first page to its last."""

    pages: list[Page]
    answers: Answers
    exit_code: int
    output: str
    started_at: float
    """Unix time."""
    settled: range
    """Ten Unix times from its verdict to the first signature."""
    paged_when_deployed: Sequence[Notified]
    paged: Sequence[Notified]
    """What the pager got until it was signed."""


@dataclass(frozen=True)
class Rehearsal:
    """All plays, and those who have watched them: they can still be asked what they saw."""

    plays: Mapping[Scenario, Play]
    prometheus: Prometheus
    alerting: Alerting


@contextlib.contextmanager
def rehearsal() -> Iterator[Rehearsal]:
    """Play every scenario, in two acts; in each they play at the same time, for most is waiting."""
    with contextlib.ExitStack() as stack:
        places = {each: stack.enter_context(_reserved_port()) for each in PLAYED}
        ports = {each: place.getsockname()[1] for each, place in places.items()}
        alerted: dict[str, int] = {each: ports[each] for each in ALERTED}
        prometheus = stack.enter_context(Prometheus(_scrapes(ports), RULES))
        alerting = stack.enter_context(Alerting(alerted))
        watcher = _Watcher(alerting.hook)
        plays: dict[Scenario, Play] = {}
        for act in ACTS:
            for scenario in act:
                places[scenario].close()
            plays |= _play(act, ports, watcher)
        yield Rehearsal(plays, prometheus, alerting)


def _reserved_port() -> socket.socket:
    """Return a socket at a free port, which nobody else takes until it is closed."""
    place = socket.socket()
    place.bind(("127.0.0.1", free_port()))
    return place


def _play(
    act: Sequence[Scenario], ports: Mapping[Scenario, int], watcher: _Watcher
) -> dict[Scenario, Play]:
    """Return what was seen of scenarios that were played at the same time.

    If other work slows the machine down meanwhile, a healthy deployment does get slower, and its
    verdict rightly says so. Such a play is repeated, by itself.
    """
    with contextlib.ExitStack() as stack:
        demos = {each: stack.enter_context(_demo(each, ports[each])) for each in act}
        with ThreadPoolExecutor() as threads:
            playing = {
                scenario: threads.submit(watcher.watch, scenario, demo, ports[scenario])
                for scenario, demo in demos.items()
            }
            if "regression" in playing:
                playing["regression"].add_done_callback(lambda _: watcher.is_paged.set())
        plays = {}
        for scenario, play in playing.items():
            try:
                plays[scenario] = play.result()
            except (AssertionError, subprocess.TimeoutExpired):
                demos[scenario].end()
                with _demo(scenario, ports[scenario]) as demo:
                    plays[scenario] = watcher.watch(scenario, demo, ports[scenario])
    return plays


RULES = (
    {"alert": "LoomWatchdog", "expr": "vector(1)", "labels": {"severity": "none", "phase": "all"}},
    {
        "alert": "LoomVerdictNoGo",
        "expr": 'last_over_time(loom_deployment_verdict{verdict="no_go"}[10s]) == 1',
        "labels": {"severity": "critical", "phase": "all"},
    },
)
"""Two alerts with the names and labels of ours, but without their patience; the second one stands a
scrape that fails."""


def _scrapes(ports: Mapping[Scenario, int]) -> dict[str, object]:
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    jobs = [
        {
            "job_name": scenario,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            # All demos call their database the same.
            "metric_relabel_configs": [
                {
                    "source_labels": ["database"],
                    "regex": ".+",
                    "target_label": "database",
                    "replacement": scenario,
                }
            ],
        }
        for scenario, port in ports.items()
    ]
    return {"global": every, "scrape_configs": jobs}


def _demo(scenario: Scenario, port: int) -> Demo:
    sources = [] if scenario in SCENARIOS else ["--sources"]
    pace = ["--fast", "--before", BEFORE_SECONDS]
    return Demo("--port", str(port), "--scenario", scenario, *pace, *sources)


class _Watcher:
    """Watches demos, each in a thread, until the pages for the lost index have arrived."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self.is_paged = threading.Event()
        """The pages have arrived, or none will."""
        self._page_took_seconds = 0.0

    def watch(self, scenario: Scenario, demo: Demo, port: int) -> Play:
        """Return what is seen of a demo until it has ended."""
        started_at = time.time()
        demo.until_told(f":{port}/metrics")
        demo.note_processes()
        with Scraper(port, "loom_", every_seconds=2.0) as scraper:
            demo.until_told(UNDER_LOAD)
            deployed_at = time.monotonic()
            paged_when_deployed = self._paged(scenario)
            demo.until_told(r"Exit code \d")
            answers = _INQUIRIES[scenario](demo.operator)
            verdict_at = time.time()
            time.sleep(SETTLED_SECONDS)
            if scenario in ALERTED:
                self._until_paged(scenario, deployed_at)
            seconds = int(time.time() - verdict_at)
            settled = range(int(verdict_at), int(verdict_at) + seconds, max(seconds // 10, 1))
            paged = self._paged(scenario)
            if scenario == "healthy":
                answers |= _signed(demo.operator)
            eventually("no question is kept from its answer", lambda: _all_answered(scraper))
            demo.process.send_signal(signal.SIGINT)
            exit_code = demo.process.wait(STORY_SECONDS)
            eventually("nobody answers any more", lambda: scraper.scrapes[-1].problem)
        demo.assert_nothing_left()
        *scrapes, after_the_end = scraper.until_first_failure()
        assert "refused" in after_the_end.problem or "reset" in after_the_end.problem
        pages = [Page("\n".join(each.lines) + "\n") for each in scrapes]
        return Play(
            pages, answers, exit_code, demo.output, started_at, settled, paged_when_deployed, paged
        )  # fmt: skip

    def _paged(self, scenario: Scenario) -> Sequence[Notified]:
        return self._hook.firing("pager", database=scenario)

    def _slow_pages(self) -> set[str]:
        found = self._hook.firing("pager", database="regression", **{"class": "mfa_status"})
        return {each.labels["alertname"] for each in found}

    def _until_paged(self, scenario: Scenario, deployed_at: float) -> None:
        """Wait for the pages; the healthy one has as long to be silent as they took to arrive."""
        if scenario == "regression":
            eventually(
                "the pages for the lost index arrive",
                lambda: self._slow_pages() >= set(REGRESSIONS),
                within_seconds=PAGED_SECONDS,
            )
            self._page_took_seconds = time.monotonic() - deployed_at
            self.is_paged.set()
        else:
            self.is_paged.wait(STORY_SECONDS + PAGED_SECONDS)
            time.sleep(max(0.0, deployed_at + self._page_took_seconds - time.monotonic()))


def _all_answered(scraper: Scraper) -> bool:
    latest = scraper.scrapes[-1]
    late = re.compile(r'loom_exporter_query_state\{.*state="(timeout|unreachable)".*\} 1')
    return not latest.problem and not any(map(late.match, latest.lines))


def with_status(told: Told, status: str) -> set[str]:
    """Return the criteria that have this status, by what `verify --format json` said."""
    assert told.stdout, told.stderr
    criteria: list[dict[str, Any]] = json.loads(told.stdout)["criteria"]
    return {each["name"] for each in criteria if each["status"] == status}


def _unsigned(operator: Operator) -> Answers:
    def is_for_people(told: Told) -> bool:
        return with_status(told, "inconclusive") == MANUAL

    return {
        "json, unsigned": operator.ask_until(is_for_people, "verify", "--format", "json"),
        "text, unsigned": operator.ask_until(
            lambda told: f"{len(MANUAL)} criteria are still open" in told.stdout, "verify"
        ),
    }


def _signed(operator: Operator) -> Answers:
    def is_report_of_a_go(told: Told) -> bool:
        return f"<title>{DEPLOYMENT.title}: GO<" in told.stdout or told.stdout.startswith(
            f"# {DEPLOYMENT.title}: GO\n"
        )

    answers: Answers = {}
    for name in (*sorted(MANUAL), "database_administrator"):
        note = f"seen by Ada: {name}"
        answers[f"sign-off {name}"] = operator.ask("sign-off", name, "--by", "Ada", "--note", note)
    answers["text, signed"] = operator.ask_until(lambda told: told.returncode == 0, "verify")
    for form in ("json", "junit"):
        answers[f"{form}, signed"] = operator.ask_until(
            lambda told: told.returncode == 0, "verify", "--format", form
        )
    for form in ("markdown", "html"):
        answers[form] = operator.ask_until(is_report_of_a_go, "report", "--format", form)
    refused = ("sign-off", "security_team", "--by", "Grace", "--reject", "--note", "no review yet")
    answers["sign-off --reject"] = operator.ask(*refused)
    answers["text, rejected"] = operator.ask_until(
        lambda told: "\n1 criterion is not met: " in told.stdout, "verify"
    )
    answers["other database"] = _ask_of_another_database(operator)
    return answers


def _ask_of_another_database(operator: Operator) -> Told:
    url_file = Path(operator.env["LOOM_EXPORTER_DATABASE_URL_FILE"])
    url = make_conninfo(url_file.read_text(encoding="utf-8"), dbname="postgres")
    with psycopg.connect(url):
        pass  # it is there, and may be looked at
    return operator.ask(
        "verify",
        LOOM_EXPORTER_DATABASE_URL=url,
        LOOM_EXPORTER_DATABASE_URL_FILE="",
        LOOM_EXPORTER_DATABASE_NAME=DATABASE_NAME,
    )


def _published(operator: Operator) -> Answers:
    def is_told(told: Told) -> bool:
        return told.returncode == 1 and all(each in told.stdout for each in _HIDDEN)

    return {
        form: operator.ask_until(is_told, "verify", "--format", form)
        for form in ("text", "json", "junit")
    }


_HIDDEN = (
    "2 tables whose policies",
    "2 users whose flag disagrees",
    "2 users whose flag is NULL",
    "17 functions without a search_path",
    " rollbacks in ",
)
"""What the published deployment hides. Some of it is a no-go already, and `verify` asks each
question once: on a busy machine not every one is answered."""


def _regression(operator: Operator) -> Answers:
    fails = {"performance", "schema_kept", "no_drift"}
    is_told: dict[str, Callable[[Told], bool]] = {
        "text": lambda told: "✗ class mfa_status: " in told.stdout and "and is gone" in told.stdout,
        "json": lambda told: with_status(told, "fail") == fails,
        "junit": lambda told: "class mfa_status: " in told.stdout,
    }
    return {
        form: operator.ask_until(settled, "verify", "--format", form)
        for form, settled in is_told.items()
    }


def _rolled_back(operator: Operator) -> Answers:
    def is_told(told: Told) -> bool:
        return told.returncode == 3 and all(
            f"✓ {each}" in told.stdout
            for each in ("objects of that name: 0 in all 7 series", "0 users whose flag disagrees")
        )

    return {"text": operator.ask_until(is_told, "verify")}


def _only_errors(operator: Operator) -> Answers:
    def has_only_errors(told: Told) -> bool:
        if with_status(told, "fail") != {"error_rates"}:
            return False
        criteria = {each["name"]: each for each in json.loads(told.stdout)["criteria"]}
        evidence = criteria["error_rates"]["evidence"]
        failed = [each for each in evidence if each["status"] == "fail"]
        return len(failed) == 2  # the database's, and the logs'

    return {"json": operator.ask_until(has_only_errors, "verify", "--format", "json")}


_INQUIRIES: Mapping[Scenario, Callable[[Operator], Answers]] = {
    "healthy": _unsigned,
    "published": _published,
    "regression": _regression,
    "rollback": _rolled_back,
    "errors": _only_errors,
}
