"""What the demo tells: numbers of pages side by side, and turns that its scenarios know."""

from __future__ import annotations

from typing import get_args

import pytest

from exporter.demo.database import FILES
from exporter.demo.play import Scenario
from exporter.demo.story import StoryTotals, Watched, is_open, read_story, table, totals
from exporter.render.verdict_json import verify_json
from exporter.verdict.assess import assess
from tests.support.judging import make_board, make_deployment, make_evidence

SEEN = Watched("things", "things", labels={"kind": "a"})
MEAN = Watched("time of one", "seconds_total", per="calls_total", unit="ms")


def _page(seconds: float, calls: int) -> str:
    return (
        "# TYPE seconds counter\n"
        f'seconds_total{{role="x"}} {seconds / 2}\nseconds_total{{role="y"}} {seconds / 2}\n'
        f"# TYPE calls counter\ncalls_total {calls}\n"
        '# TYPE things gauge\nthings{kind="a",role="x"} 1\nthings{kind="a",role="y"} 0.5\n'
        'things{kind="b"} 7\n'
    )


def test_number_is_the_sum_of_the_series_that_match() -> None:
    assert totals(_page(3, 4), [SEEN])[0].value == 1.5
    assert totals(_page(3, 4), [MEAN]) == [StoryTotals(3, 4)]


def test_mean_is_of_what_has_come_since_the_last_look() -> None:
    pages = {"first": _page(2, 10), "second": _page(2.5, 20), "idle": _page(2.5, 20)}
    looks = {name: totals(page, [MEAN]) for name, page in pages.items()}
    assert table([MEAN], looks).splitlines()[1].split() == (
        ["time", "of", "one", "200.000", "ms", "50.000", "ms", "absent"]
    )


def test_mean_begins_anew_where_there_was_no_series_before() -> None:
    looks = {"empty": totals("", [MEAN]), "first": totals(_page(2, 10), [MEAN])}
    assert table([MEAN], looks).splitlines()[1].split()[3:] == ["absent", "200.000", "ms"]


def test_what_has_no_series_is_absent_and_not_zero() -> None:
    looks = {"empty": totals("", [SEEN]), "page": totals(_page(3, 4), [SEEN])}
    assert table([SEEN], looks).splitlines() == [
        "             empty        page",
        "things      absent        1.50",
    ]


def test_every_turn_is_of_a_scenario_and_has_its_file() -> None:
    turns = read_story(FILES / "story.yaml").turns
    assert turns
    assert turns.keys() <= set(get_args(Scenario))
    for turn in turns.values():
        assert bool(turn.file) != bool(turn.error_share)
        assert not turn.file or (FILES / turn.file).is_file()


@pytest.mark.parametrize(
    ("number", "other", "is_to_wait"),
    [
        pytest.param(0.0, 0.0, False, id="only a signature is missing"),
        pytest.param(0.0, None, True, id="no data yet"),
        pytest.param(1.0, None, False, id="no data yet, and a no-go without it"),
    ],
)
def test_demo_waits_for_a_verdict_that_needs_no_more_than_time(
    number: float, other: float | None, is_to_wait: bool
) -> None:
    deployment = make_deployment("""
criteria:
  number: {title: Number, conditions: [{metric: loom_number, equals: 0}]}
  steps: {title: Steps, conditions: [{metric: loom_steps, equals: 0}]}
  people: {title: People, manual: true}
""")
    steps = {} if other is None else {("first", "one"): other}
    board = make_board(number={"loom_number": {(): number}}, steps={"loom_steps": steps})
    assessment = assess("loom", deployment, {}, make_evidence(board))
    assert is_open(verify_json(assessment)) is is_to_wait


def test_demo_waits_for_a_verdict_that_is_not_there_yet() -> None:
    assert is_open("")
