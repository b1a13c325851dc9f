"""Files that test runs leave: counted as they are meant, refused where they are made to hurt."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.sources.suite_files import (
    MOST_BYTES,
    MOST_NAMES,
    Counts,
    SuiteFileError,
    parse_suite_file,
    read_suite_file,
)

TABLE = r"^ *(?P<name>[^|]+?) *\| *(?P<outcome>PASS|FAIL) *\|"
NOTICES = r"NOTICE:\s+(?P<outcome>PASS|FAIL|SKIP)\w*:? *(?P<name>.*)"

PG_PROVE = """\
good.sql ..
1..2
ok 1 - one
ok 2 - two
ok
bad.sql ...
1..3
ok 1 - one
not ok 2 - two
# Failed test 2: "two"
not ok 3 - three # TODO later
# Looks like you failed 1 test of 3
Failed 1/3 subtests

Files=2, Tests=5,  1 wallclock secs ( 0.02 usr  0.00 sys +  0.11 cusr  0.01 csys =  0.14 CPU)
Result: FAIL
"""


def _counts(text: str | bytes, notices: str | None = None) -> Counts:
    content = text.encode() if isinstance(text, str) else text
    return parse_suite_file(Path("suite.out"), content, notices)


def _problem(text: str | bytes, notices: str | None = None) -> str:
    with pytest.raises(SuiteFileError) as raised:
        _counts(text, notices)
    message = str(raised.value)
    assert message.startswith("suite.out: ")
    assert len(message.splitlines()) == 1
    assert len(message) < 300
    return message


# ── TAP ──────────────────────────────────────────────────────────────────────────────────────────


def test_output_of_pg_prove_is_counted_over_all_its_files() -> None:
    assert _counts(PG_PROVE) == Counts(passed=3, failed=1, skipped=1, failed_names=("two",))


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("1..2\nok\nok\n", Counts(passed=2)),
        ("ok 1\nok 2\n1..2\n", Counts(passed=2)),
        ("TAP version 13\n1..1\nok 1 - a\n  ---\n  at: 1\n  ...\n", Counts(passed=1)),
        ("TAP version 12\n1..1\nok 1 - a\n", Counts(passed=1)),
        (" 1..2\n\n ok 1 - as psql -t prints it\n\n ok 2 - b\n\n", Counts(passed=2)),
        ("1..2\r\nok 1 - a\r\nok 2 # SKIP no b\r\n", Counts(passed=1, skipped=1)),
        ("1..1\nnot ok 1 - a # SKIP\n", Counts(skipped=1)),
        ("1..1\n    ok 1 - a subtest\n    1..1\nok 1 - a\n", Counts(passed=1)),
        ("1..0 # SKIP no server\n", Counts()),
    ],
)
def test_tap_is_counted(text: str, counts: Counts) -> None:
    assert _counts(text) == counts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1..3\nok 1 - a\n", "1 of the 3 tests that it planned itself"),
        ("1..1\nok 1 - a\nok 2 - b\n", "2 of the 1 tests that it planned itself"),
        ("ok 1 - a\n", "has no plan, so it may be cut off"),
        ("1..3\nok 1 - a\nBail out! no server\n", "bailed out: no server"),
        ("Bail out!\n", "bailed out: "),
    ],
)
def test_run_that_was_cut_off_has_a_problem(text: str, problem: str) -> None:
    assert _counts(text).problem == problem


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "all tests passed\n", "10 5\n", "psql: error: connection refused\n", b"\x00\xff"],
)
def test_what_is_no_tap_is_refused(text: str | bytes) -> None:
    assert "holds neither TAP nor JUnit XML" in _problem(text)


def test_names_of_failed_tests_are_bounded_and_on_one_line() -> None:
    lines = [f"not ok {number} - \x1b[2J{'n' * 999}" for number in range(1, 100)]
    counts = _counts("\n".join(["1..99", *lines]))
    assert (counts.failed, len(counts.failed_names)) == (99, MOST_NAMES)
    assert all(len(name) <= 150 and name.isprintable() for name in counts.failed_names)


# ── scripts ──────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_a_table_are_tests() -> None:
    text = """\
SET
         test_name          | status |  message
----------------------------+--------+------------
 Coach can create           | PASS   | created
 Coach CANNOT see others    | FAIL   | sees them
(2 rows)

psql:rls.sql:9: NOTICE:  Failed: 1
psql:rls.sql:9: ERROR:  tests failed: 1 test(s) failed
"""
    counts = _counts(text, TABLE)
    assert (counts.passed, counts.failed) == (1, 1)
    assert counts.failed_names == ("Coach CANNOT see others",)
    assert counts.problem.startswith("ended in an error: psql:rls.sql:9: ERROR: tests failed")


def test_notices_are_tests() -> None:
    text = "psql:a.sql:3: NOTICE:  PASS: one\nNOTICE:  FAILED: two\nNOTICE:  skip three\n"
    counts = _counts(text, f"(?i){NOTICES}")
    assert counts == Counts(passed=1, failed=1, skipped=1, failed_names=("two",))


def test_script_that_ends_in_an_error_before_its_first_test_has_a_problem() -> None:
    counts = _counts("psql:a.sql:1: ERROR:  relation does not exist\n", NOTICES)
    assert (counts.passed, counts.problem) == (
        0,
        "ended in an error: psql:a.sql:1: ERROR: relation does not exist",
    )


def test_script_that_reports_no_test_is_refused() -> None:
    assert "no line matches NOTICE" in _problem("NOTICE:  hello\n", NOTICES)
    assert "`maybe` is neither pass, fail nor skip" in _problem("maybe\n", "(?P<outcome>.+)")


def test_tap_of_a_suite_that_usually_is_a_script_is_tap() -> None:
    assert _counts("1..1\nok 1 - a\n", TABLE) == Counts(passed=1)


# ── JUnit XML ────────────────────────────────────────────────────────────────────────────────────

CASES = (
    '<testcase classname="flows" name="login"/>'
    '<testcase classname="flows" name="upload"><failure message="no"/></testcase>'
    '<testcase name="share"><error/></testcase>'
    '<testcase name="later"><skipped/></testcase>'
)


@pytest.mark.parametrize(
    "text",
    [
        f"<testsuites><testsuite>{CASES}</testsuite></testsuites>",
        f'<?xml version="1.0" encoding="utf-8"?>\n<testsuite tests="4">{CASES}</testsuite>',
        f"<testsuites><testsuite><testsuite>{CASES}</testsuite></testsuite></testsuites>",
        f"\ufeff \n<testsuite>{CASES}</testsuite>".replace("\ufeff \n", "\ufeff"),
    ],
)
def test_junit_is_counted(text: str) -> None:
    assert _counts(text) == Counts(1, 2, 1, ("flows.upload", "share"))


def test_junit_says_when_it_began_if_it_names_the_zone() -> None:
    suite = '<testsuites><testsuite timestamp="{}"><testcase name="a"/></testsuite></testsuites>'
    assert _counts(suite.format("2025-10-21T14:00:00+00:00")).began_at == 1761055200
    assert _counts(suite.format("2025-10-21T14:00:00")).began_at is None
    assert _counts(suite.format("yesterday")).began_at is None


def test_suite_that_failed_as_a_whole_has_failed() -> None:
    assert _counts('<testsuite errors="1"><testcase name="a"/></testsuite>').failed == 1
    assert _counts('<testsuite failures="2"/>').failed == 2


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<testsuite name="&c;"><testcase name="a"/></testsuite>"""
OUTSIDE = '<!DOCTYPE t SYSTEM "file:///etc/passwd"><testsuite><testcase name="a"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "has a document type declaration"),
        (OUTSIDE, "has a document type declaration"),
        (BOMB.encode("utf-16"), "holds neither TAP nor JUnit XML"),
        ("<testsuite>" * 100_000, "is nested more than 50 levels deep"),
        ("<testsuite><testcase", "not XML: "),
        ('<?xml version="1.0" encoding="utf-77"?><a/>', "not XML: unknown encoding"),
        ("<html><body/></html>", "is XML, but not JUnit XML"),
        ('<testsuite tests="many"><testcase name="a"/></testsuite>', ""),
        ('<testsuite failures="many"/>', "is XML, but not JUnit XML"),
        ("<testsuites/>", "is JUnit XML without a test"),
        ("<testsuite/>", "is JUnit XML without a test"),
    ],
)
def test_xml_that_is_broken_or_made_to_hurt_is_refused(text: str | bytes, told: str) -> None:
    if not told:
        assert _counts(text).passed == 1
    else:
        assert told in _problem(text)


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def test_file_that_cannot_be_read_or_is_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteFileError, match="cannot be read: No such file"):
        read_suite_file(tmp_path / "none")
    with pytest.raises(SuiteFileError, match="cannot be read: Is a directory"):
        read_suite_file(tmp_path)
    huge = tmp_path / "huge.xml"
    with huge.open("wb") as file:
        file.truncate(100 * MOST_BYTES)
    with pytest.raises(SuiteFileError, match="longer than 4 MiB"):
        read_suite_file(huge)
