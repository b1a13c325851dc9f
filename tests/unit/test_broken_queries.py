"""Whatever is wrong with a folder of queries ends in one line that leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import run
from tests.support.queries import DEPLOYMENT, QUERY, make_folder

if TYPE_CHECKING:
    from pathlib import Path

HERE = "things.sql"
YAML = "deployment.yaml"
SEEN = DEPLOYMENT + "history: {kind: rails}\n"
"""With what shows that its phase is applied."""


@dataclass(frozen=True)
class Fault:
    """A change to a file that is right, and what is said of it: `file:line: key: remedy`."""

    old: str
    new: str | bytes
    line: int | None
    key: str
    remedy: str
    file: str = HERE

    def content(self) -> str | bytes:
        right = QUERY if self.file == HERE else SEEN
        if not self.old:
            return self.new
        assert self.old in right
        assert isinstance(self.new, str)
        return right.replace(self.old, self.new, 1)

    def __str__(self) -> str:
        change = self.new if isinstance(self.new, str) else "bytes"
        return " ".join(change.split())[:40] or f"no {' '.join(self.old.split())[:40]}"


INTERVAL = "interval: 1m"
GAUGE = "type: gauge"
LABELS = "labels: [kind]"
VALUE = "    value: things"
NAME = "loom_things:"
SELECT = "SELECT 'round' AS kind, 1 AS things;"
METRICS = QUERY[QUERY.index("metrics:") : QUERY.index("*/")]
METRIC = "metrics.loom_things"
REQUIRES = f"{INTERVAL}\nrequires:\n  "


def _phase(old: str, new: str, line: int, key: str, remedy: str) -> Fault:
    return Fault(old, new, line, key, remedy, YAML)


FAULTS = (
    # The file.
    Fault("", "SELECT 1", 1, "", "must begin with a header: /* YAML */"),
    Fault("", "/*\ndescription: It never ends.\nSELECT 1", 1, "", "must begin with a header"),
    Fault("", "", 1, "", "must begin with a header"),
    Fault("", b"/*\xff*/ SELECT 1", None, "", "not UTF-8 text"),
    Fault("", "/* */ SELECT 1", 1, "", "`key: value` pairs, beginning with description"),
    Fault("", "/*\n- a\n*/ SELECT 1", 1, "", "`key: value` pairs, beginning with description"),
    Fault("Counts things", "Counts /* things", 2, "", "opens a second comment; rephrase it"),
    # YAML.
    Fault("phase:", "fase:", 3, "fase", "unknown key; check its spelling"),
    Fault("help:", "hlep:", 8, f"{METRIC}.hlep", "unknown key; check its spelling"),
    Fault(INTERVAL, f"{INTERVAL}\n{INTERVAL}", 5, "interval", "this key stands here twice"),
    Fault("help: Things by", "help: Things: by", 8, "", "not YAML: mapping values are not allowed"),
    Fault("help: Things", "help: 'Things", 11, "", "not YAML: found unexpected end of stream"),
    Fault("    type: gauge", "\ttype: gauge", 7, "", "indent with spaces"),
    Fault("phase: one", "---\nphase: one", 3, "", "a second document begins here"),
    Fault("phase: one", "phase: one\x00", 3, "", "not YAML: the character U+0000 is not"),
    Fault(LABELS, "labels: &a [kind]", 9, f"{METRIC}.labels", "anchors and aliases are"),
    Fault(LABELS, "labels: *a", 9, f"{METRIC}.labels", "anchors and aliases are not supported"),
    Fault("phase: one", "phase: one\n? [a]\n: b", 4, "", "a key must be plain text"),
    Fault(
        INTERVAL, f"{INTERVAL}\nseries_limit: !!int x", 5, "series_limit", "int is not supported"
    ),
    Fault(INTERVAL, f"{INTERVAL}\nseries_limit: !x 1", 5, "series_limit", "the tag !x is not"),
    # The header.
    Fault("description: Counts things by kind.\n", "", 2, "description", "this key is required"),
    Fault("by kind.", "by kind", 2, "description", "must be a sentence"),
    Fault("phase: one", "phase: One!", 3, "phase", "must be in lower case"),
    Fault("phase: one", "phase: two", 3, "phase", "not in deployment.yaml; known are one, all"),
    Fault(INTERVAL, "interval: 60", 4, "interval", "a number and a unit, such as 250ms"),
    Fault(INTERVAL, 'interval: "60"', 4, "interval", "a number and a unit, such as 250ms"),
    Fault(INTERVAL, "interval: 0s", 4, "interval", "greater than 0"),
    Fault(INTERVAL, f'{INTERVAL}\nschedule: "0 6 * * *"', 2, "", "either `interval` or `schedule`"),
    Fault(f"{INTERVAL}\n", "", 2, "", "either `interval` or `schedule`"),
    Fault(INTERVAL, "schedule: */5 * * * *", 4, "schedule", "write */5 as 0-59/5"),
    Fault(INTERVAL, 'schedule: "*/5 * * * *"', 4, "schedule", "write */5 as 0-59/5"),
    Fault(INTERVAL, 'schedule: "0 */6 * * *"', 4, "schedule", "write */5 as 0-59/5"),
    Fault(INTERVAL, 'schedule: "0 6 * * 1"', 4, "schedule", "name the days of the week"),
    Fault(INTERVAL, 'schedule: "0 6 * *"', 4, "schedule", "five cron fields, such as `0 6 * * *`"),
    Fault(INTERVAL, 'schedule: "0 66 * * *"', 4, "schedule", "the maximum value (23)"),
    Fault(
        INTERVAL, "interval: 1s\ntimeout: 2s", 2, "", "`timeout` must be shorter than `interval`"
    ),
    Fault(INTERVAL, "interval: 1h\ntimeout: 2m", 5, "timeout", "less than or equal to 60"),
    Fault(INTERVAL, f"{INTERVAL}\ntimeout: 0.4ms", 5, "timeout", "greater than or equal to 0.001"),
    Fault(INTERVAL, f"{INTERVAL}\naccess: owner", 5, "access", "'direct' or 'definer'"),
    Fault(
        INTERVAL, f"{INTERVAL}\nseries_limit: 0", 5, "series_limit", "greater than or equal to 1"
    ),
    Fault(INTERVAL, f"{REQUIRES}server: >= 15", 6, "", "not YAML: expected chomping"),
    Fault(INTERVAL, f"{REQUIRES}server: 15", 6, "requires.server", 'in quotes, such as ">= 15"'),
    Fault(
        INTERVAL, f"{REQUIRES}extensions: [a > 1]", 6, "requires.extensions.0", "`pg_cron >= 1.4`"
    ),
    Fault(INTERVAL, f"{REQUIRES}relations: [users]", 6, "requires.relations.0", "its schema"),
    Fault(INTERVAL, f"{REQUIRES}relations: a.b", 6, "requires.relations", "a list, such as [a, b]"),
    # Metrics.
    Fault(METRICS, "metrics: {}\n", 5, "metrics", "must not be empty"),
    Fault(METRICS, "metrics:\n", 5, "metrics", "must hold `key: value` pairs"),
    Fault(NAME, "Loom-Things:", 6, "metrics.Loom-Things", "must be in lower case, digits and _"),
    Fault(NAME, "loom_things_total:", 5, "metrics", "this ending is not for a gauge"),
    Fault(NAME, "loom_exporter_things:", 5, "metrics", "this prefix is the exporter's own"),
    Fault(NAME, "loom_statement_things:", 5, "metrics", "this prefix is the exporter's own"),
    Fault(NAME, "loom_database_up:", 5, "metrics", "this name is the exporter's own"),
    Fault(GAUGE, "type: counter", 5, "metrics", "the name of a counter ends with _total"),
    Fault(f"{LABELS}\n{VALUE}", LABELS, 6, METRIC, "every other metric needs one"),
    Fault(GAUGE, "type: info", 6, METRIC, "an info has no `value`"),
    Fault(GAUGE, "type: change_timestamp", 5, "metrics", "ends with _timestamp_seconds"),
    Fault(GAUGE, "type: histogram", 7, f"{METRIC}.type", "'counter', 'info' or 'change_timestamp'"),
    Fault("Things by kind.", "Things by kind", 8, f"{METRIC}.help", "to a full stop"),
    Fault(LABELS, "labels: kind", 9, f"{METRIC}.labels", "must be a list, such as [a, b]"),
    Fault(LABELS, "labels: [Kind]", 9, f"{METRIC}.labels.0", "named in lower case"),
    Fault(LABELS, "labels: [database]", 9, f"{METRIC}.labels.0", "choose another label"),
    Fault(LABELS, "labels: [kind, kind]", 6, METRIC, "a label stands twice"),
    Fault(VALUE, "    value: kind", 6, METRIC, "`kind` is both a label and the value"),
    Fault(VALUE, f"{VALUE}\n    null: fail", 11, f"{METRIC}.null", "'skip' or 'error'"),
    Fault(VALUE, f"{VALUE}\n    at: exact", 6, METRIC, "`at` belongs to a change_timestamp only"),
    Fault(
        VALUE,
        f"{VALUE}\n  loom_kinds:\n    type: gauge\n    help: Kinds.\n    value: kind",
        11,
        "metrics.loom_kinds",
        "column `kind` is used as text and as a number",
    ),
    Fault(
        f"{NAME}\n    {GAUGE}",
        "loom_things_total:\n    type: counter\n    baseline: true",
        6,
        "metrics.loom_things_total",
        "only a gauge can have a `baseline`",
    ),
    Fault(
        f"{NAME}\n    {GAUGE}\n    help: Things by kind.\n    {LABELS}\n{VALUE}",
        "loom_things_info:\n    type: info\n    help: Things.",
        6,
        "metrics.loom_things_info",
        "give it one",
    ),
    # SQL.
    Fault(SELECT, "", 12, "", "there is no SQL below the header"),
    Fault(SELECT, f"{SELECT}\nSELECT 2;", 13, "", "remove what follows the first `;`"),
    Fault(SELECT, "SELECT 'é',\n2;\nSELECT 2;", 14, "", "remove what follows the first `;`"),
    Fault(SELECT, "DELETE FROM public.things;", 13, "", "(or WITH … SELECT), and is DELETE"),
    Fault(SELECT, "CREATE TABLE t AS\nSELECT 1;", 13, "", "and is CREATE TABLE AS"),
    Fault(SELECT, "SELECT 'é' AS kind,\nFROM;", 14, "", 'not SQL: syntax error at or near "FROM"'),
    Fault(SELECT, "SELECT 1\nAS 'x\n\n", 14, "", "not SQL: unterminated quoted string"),
    Fault(SELECT, "SELECT 1\x00;", 13, "", "not SQL: a NUL character"),
    Fault(SELECT, f"SELECT {'(' * 30_000}", 13, "", "not SQL: memory exhausted"),
    Fault(SELECT, f"SELECT {'1+' * 20_000}1", 13, "", "not SQL: nested too deeply"),
    Fault(SELECT, f"SELECT '{'x' * 50_000}'", 13, "", "not SQL: longer than 50,000 characters"),
    Fault(SELECT, "SELECT 1 AS things INTO t;", 13, "", "must not make a table; remove INTO"),
    Fault(SELECT, "SELECT a FROM t FOR SHARE;", 13, "", "must not lock rows; remove FOR UPDATE"),
    Fault(
        SELECT,
        "WITH a AS (\nDELETE FROM t RETURNING *)\nSELECT * FROM a;",
        13,
        "",
        "must not change data; remove the INSERT, UPDATE, DELETE or MERGE",
    ),
    # deployment.yaml.
    Fault("", b"\xff", None, "", "not UTF-8 text", YAML),
    Fault("", "", 1, "", "`key: value` pairs, beginning with name", YAML),
    Fault("", "[a]", 1, "", "`key: value` pairs, beginning with name", YAML),
    _phase("warmup:", "warm-up:", 3, "warm-up", "unknown key; check its spelling"),
    _phase("warmup: 30m", "warmup: 30", 3, "warmup", "a number and a unit"),
    _phase("title: Test deployment\n", "", 1, "title", "this key is required"),
    _phase("name: test-deployment", "name: Test it", 1, "name", "lower case, digits and . _ -"),
    _phase("  one:", "  One:", 5, "phases.One", "must be in lower case"),
    _phase(
        "  one:",
        "  all:",
        5,
        "phases.all",
        "`all` stands for every phase; give the phase another name",
    ),
    _phase('version: "1"', "version: 1", 8, "phases.one.migrations.0.version", "put it in quotes"),
    _phase("risk: low", "risk: none", 9, "phases.one.rollback.risk", "'low', 'medium' or 'high'"),
    _phase(
        "name: first}",
        'name: first}\n      - {version: "1", name: second}',
        9,
        "phases.one.migrations.1.version",
        "migration 1 stands twice; leave one of them out",
    ),
)


def _check(folder: Path) -> tuple[int, str, str]:
    result = run("check", "--queries", str(folder))
    return result.exit_code, result.stdout, result.stderr


def test_the_files_that_faults_are_made_from_are_right(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {HERE: QUERY, YAML: SEEN})
    code, out, err = _check(folder)
    assert (code, err) == (0, "")
    assert out == f"{folder}: 2 queries, 3 metrics, 1 phases: no problem found\n"


def test_files_may_be_written_on_windows(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "queries", {HERE: QUERY, YAML: SEEN})
    for path in (folder / HERE, folder / YAML):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert _check(folder)[0] == 0


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault_is_told_in_one_line(fault: Fault, tmp_path: Path) -> None:
    files = {HERE: QUERY, YAML: SEEN, fault.file: fault.content()}
    folder = make_folder(tmp_path / "queries", files)
    if fault.file == YAML and (not fault.old or fault.key == "phases.all"):
        # Without the phase, that of the query would be a fault too.
        (folder / HERE).write_text(QUERY.replace("phase: one", "phase: all"))
    code, out, err = _check(folder)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    place = f"{folder / fault.file}" + (f":{fault.line}" if fault.line else "")
    expected = ": ".join(part for part in ("loom-exporter", place, fault.key) if part)
    assert line.startswith(f"{expected}: ")
    assert fault.remedy in line.removeprefix(expected)
