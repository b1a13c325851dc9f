"""Every scenario of the demo, played once for all tests: what was seen, and what was answered."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.support.daemon import Page
from tests.support.demo_process import STORY_SECONDS, Demo, Operator, Told, UnsettledError
from tests.support.observers import Scraper, eventually
from tests.support.shipped_queries import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.demo.play import Scenario

SCENARIOS: tuple[Scenario, ...] = ("healthy", "published", "regression", "rollback")
"""Those that are played without sources; `errors` is in test_demo_sources.py."""
MANUAL = {name for name, each in DEPLOYMENT.criteria.items() if each.is_signed}
"""The criteria that only people can judge."""

Answers = dict[str, Told]
"""What commands said of a deployment, each under a name."""

BEFORE_SECONDS = "45"
"""Longer than the demo takes by itself: with four of them on one machine, its baseline must stand
calls that are held up for milliseconds."""


@dataclass(frozen=True)
class Play:
    """What was seen of one demo, from its first page to its last."""

    pages: list[Page]
    answers: Answers
    exit_code: int
    output: str


def play_all() -> Mapping[Scenario, Play]:
    """Play every scenario at the same time, because most of it is waiting.

    If other work slows the machine down meanwhile, a healthy deployment does get slower, and its
    verdict rightly says so. Such a play is repeated, by itself.
    """
    with ThreadPoolExecutor() as threads:
        playing = {scenario: threads.submit(_play, scenario) for scenario in SCENARIOS}
    plays: dict[Scenario, Play] = {}
    for scenario, play in playing.items():
        try:
            plays[scenario] = play.result()
        except UnsettledError:
            plays[scenario] = _play(scenario)
    return plays


def _play(scenario: Scenario) -> Play:
    inquire = _INQUIRIES.get(scenario)
    # Without questions it ends by itself, else when whoever asked has had enough.
    hold = [] if inquire else ["--hold", "1"]
    with Demo("--scenario", scenario, "--fast", "--before", BEFORE_SECONDS, *hold) as demo:
        port = int(demo.until_told(r"http://127\.0\.0\.1:(\d+)/metrics")[1])
        demo.note_processes()
        with Scraper(port, "loom_", every_seconds=2.0) as scraper:
            answers: Answers = {}
            if inquire:
                demo.until_told(r"Exit code \d")
                answers = inquire(demo.operator)
                demo.process.send_signal(signal.SIGINT)
            exit_code = demo.process.wait(STORY_SECONDS)
            eventually("nobody answers any more", lambda: scraper.scrapes[-1].problem)
        demo.assert_nothing_left()
        *scrapes, after_the_end = scraper.until_first_failure()
        assert "refused" in after_the_end.problem or "reset" in after_the_end.problem
        pages = [Page("\n".join(each.lines) + "\n") for each in scrapes]
        return Play(pages, answers, exit_code, demo.output)


def with_status(told: Told, status: str) -> set[str]:
    """Return the criteria that have this status, by what `verify --format json` said."""
    assert told.stdout, told.stderr
    criteria: list[dict[str, Any]] = json.loads(told.stdout)["criteria"]
    return {each["name"] for each in criteria if each["status"] == status}


def _healthy(operator: Operator) -> Answers:
    def is_for_people(told: Told) -> bool:
        return with_status(told, "inconclusive") == MANUAL

    def is_report_of_a_go(told: Told) -> bool:
        return f"<title>{DEPLOYMENT.title}: GO<" in told.stdout or told.stdout.startswith(
            f"# {DEPLOYMENT.title}: GO\n"
        )

    answers = {
        "json, unsigned": operator.ask_until(is_for_people, "verify", "--format", "json"),
        "text, unsigned": operator.ask_until(
            lambda told: f"{len(MANUAL)} criteria are still open" in told.stdout, "verify"
        ),
    }
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
    answers["text, rejected"] = operator.ask("verify")
    answers["other database"] = _ask_of_another_database(operator)
    return answers


def _ask_of_another_database(operator: Operator) -> Told:
    url_file = Path(operator.env["LOOM_EXPORTER_DATABASE_URL_FILE"])
    url = make_conninfo(url_file.read_text(encoding="utf-8"), dbname="postgres")
    with psycopg.connect(url):
        pass  # it is there, and may be looked at
    return operator.ask(
        "verify", LOOM_EXPORTER_DATABASE_URL=url, LOOM_EXPORTER_DATABASE_URL_FILE=""
    )


def _no_go(operator: Operator) -> Answers:
    return {
        form: operator.ask_until(lambda told: told.returncode == 1, "verify", "--format", form)
        for form in ("text", "json", "junit")
    }


_INQUIRIES = {"healthy": _healthy, "published": _no_go, "regression": _no_go}
