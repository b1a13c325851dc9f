"""A deployment, its verdict and its queries, in which every text is out to become markup."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exporter.catalog import Catalog
from exporter.deployment.sign_offs import sign
from exporter.run_state import State
from exporter.statements.slowest import Slow, SlowStatementKey
from exporter.verdict.assess import assess
from tests.support.components import Parts, assemble, judged
from tests.support.judging import (
    QUERIES,
    before,
    make_class,
    make_deployment,
    make_evidence,
)

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "<script>document.title='hacked'</script>",
    "</script><script>document.title='hacked'</script>",
    "</style><img src=x onerror=\"document.title='hacked'\">",
    "\"><svg onload='document.title=`hacked`'>",
    "' autofocus onfocus='document.title=1' x='",
    "--><!-- <!doctype html> ]]> &lt;b&gt; &amp; %3Cb%3E",
    "{{ 7 * 7 }} {% raw %} {# gone #} ${7*7}",
    "javascript:document.title='hacked'",
    "a‮b‏c 漢字 é",
    "W" * 300,
)


def hostile_parts(folder: Path, text: str, *, number: float = 7.0) -> Parts:
    """Return the parts of a daemon that shows `text` wherever text of others can be.

    The verdict is a no-go that blames a phase; `number` is what a tracked number is now.
    """
    deployment = make_deployment(
        """
criteria:
  things: {phase: one, conditions: [{metric: loom_things, at_most: 2}], note: x, title: x}
  speed: {title: Fast, conditions: [{class: quick, phase: two, not_slower_than: baseline}]}
  people: {title: People, manual: true, note: x}
plan:
  - {after: 1d, title: x, checks: {things_day_1: {title: x, note: x, criteria: [things]}}}
  - {after: 7d, title: x, checks: {people_day_7: {title: x, note: x, manual: true}}}
sign_offs: {boss: {title: x}, other: {title: x}}
tracked:
  - {title: x, metric: loom_number}
  - {title: Mean time, class: quick}
""".replace(" x", f" {_quoted(text)}"),
        title=text,
        phases={
            name: {
                "title": text,
                "migrations": [{"version": version, "name": name}],
                "rollback": {"risk": "high", "advice": text},
            }
            for version, name in (("1", "one"), ("2", "two"))
        },
    )
    parts = assemble(folder, QUERIES, catalog=Catalog(deployment, QUERIES))
    board = parts.snapshots
    board.publish("things", State.OK, {"loom_things": {(text,): 3.0}})
    board.publish("more_things", State.EMPTY, {})
    board.publish("number", State.OK, {"loom_number": {(): number}})
    board.fail("steps", State.ERROR, text)
    board.publish("pg_stat_statements", State.OK, {"loom_statement_resets_total": {(): 0.0}})
    parts.poller.slowest = [Slow(SlowStatementKey("abc", "quick", text), 0.25, text)]
    said = [
        sign(deployment, name, by=_printable(text), note=_printable(text), at=time.time())
        for name in ("people", "people_day_7", "boss")
    ]
    evidence = make_evidence(
        board,
        later=0.0,
        before=before(loom_number={(): 5.0}),
        classes={"quick": make_class(0.5)},
        sign_offs={each.name: [each] for each in said},
    )
    for minute in range(30, -1, -1):
        parts.verdict.trend.record(make_evidence(board, later=0.0, now=evidence.now - 60 * minute))
    judged(parts, assess(text, deployment, {}, evidence))
    return parts


def _quoted(text: str) -> str:
    """Return text as a YAML scalar."""
    return "'" + text.replace("'", "''") + "'"


def _printable(text: str) -> str:
    """Return as much of a text as a sign-off takes."""
    return "".join(char for char in text if char.isprintable())[:100]
