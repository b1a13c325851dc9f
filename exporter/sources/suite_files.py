"""What a test run has left in a file: TAP, JUnit XML, or the notices of a script, as counts."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.parsers import expat

from junitparser import JUnitXml, JUnitXmlError
from junitparser.junitparser import TestCase
from tap.parser import Parser

from exporter.errors import UsageError
from exporter.redaction import redact
from exporter.wording import one_line

MOST_BYTES = 4 * 2**20
"""The longest file that is read: as XML it takes many times its size in memory."""

MOST_NAMES = 20
"""Failed tests that are named; the others are counted."""

_DEEPEST = 50
_NAME_LENGTH = 150

_PLAN = re.compile(rb"^ ?1\.\.\d", re.MULTILINE)
_SCRIPT_ERROR = re.compile(r"^(psql:.*: )?(ERROR|FATAL|PANIC): ")


class SuiteFileError(UsageError):
    """A file from which no results can be taken; `str()` is one line that names it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests passed, failed and were skipped, as one file tells it."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failed_names: tuple[str, ...] = ()
    """The first of them, as they may be shown."""
    problem: str = ""
    """Why the file does not tell of all tests of the run; empty if it does."""
    began_at: float | None = None
    """Unix time at which the run began, if the file says so."""


@dataclass(slots=True)
class _Tally:
    """Counts while the tests of a file are read."""

    outcomes: dict[str, int] = field(default_factory=lambda: {"pass": 0, "fail": 0, "skip": 0})
    names: list[str] = field(default_factory=list)

    def add(self, outcome: str, name: str) -> None:
        self.outcomes[outcome] += 1
        if outcome == "fail" and len(self.names) < MOST_NAMES:
            self.names.append(one_line(redact(name), _NAME_LENGTH) or "without a name")

    def counts(self, problem: str = "", began_at: float | None = None) -> Counts:
        passed, failed, skipped = self.outcomes.values()
        return Counts(passed, failed, skipped, tuple(self.names), problem, began_at)


def read_suite_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        SuiteFileError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SuiteFileError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise SuiteFileError(
            f"{path}: longer than {MOST_BYTES // 2**20} MiB; leave the output of the tests out"
        )
    return content


def parse_suite_file(path: Path, content: bytes, notices: str | None) -> Counts:
    """Return what a file tells.

    Args:
        path: the name of the file, for errors.
        content: TAP, JUnit XML, or the output of a script that raises notices.
        notices: for such a script, the regular expression of a line that reports a test. A file
            with the plan of TAP is TAP all the same.

    Raises:
        SuiteFileError: it is none of these, or reports no test.
    """
    parse: Callable[[bytes], Counts]
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        parse = _junit
    elif notices and not _PLAN.search(content):
        pattern = re.compile(notices)
        parse = lambda content: _notices(_lines(content), pattern)  # noqa: E731
    else:
        parse = _tap
    try:
        return parse(content)
    except ValueError as error:
        raise SuiteFileError(f"{path}: {error}") from None


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8-sig", errors="replace").splitlines()


def _tap(content: bytes) -> Counts:
    """Count the tests of one or several runs whose TAP stands one after the other."""
    parser = Parser()
    planned: int | None = None
    numbered, unnumbered = _Tally(), _Tally()
    problem = ""
    for text in _lines(content):
        if text.startswith("TAP version"):
            continue
        # psql puts a space before each line unless it is told not to.
        line = parser.parse_line(text.removeprefix(" ").rstrip())
        if line.category == "plan" and text.lstrip().startswith("1.."):
            planned = (planned or 0) + line.expected_tests
        elif line.category == "bail":
            problem = f"bailed out: {one_line(redact(line.reason or ''), _NAME_LENGTH)}"
        elif line.category == "test":
            is_left_out = line.skip or line.todo
            outcome = "skip" if is_left_out else "pass" if line.ok else "fail"
            name = line.description.removeprefix("- ")
            (unnumbered if line.number is None else numbered).add(outcome, name)
    # Where tests have numbers, a bare `ok` is what pg_prove says of a whole file.
    tally = numbered if any(numbered.outcomes.values()) else unnumbered
    ran = sum(tally.outcomes.values())
    if planned is None and not ran and not problem:
        raise ValueError("holds neither TAP nor JUnit XML; write TAP with `pg_prove --verbose`")
    if not problem and planned is None:
        problem = "has no plan, so it may be cut off"
    if not problem and planned != ran:
        problem = f"{ran} of the {planned} tests that it planned itself"
    return tally.counts(problem)


def _notices(lines: Iterable[str], pattern: re.Pattern[str]) -> Counts:
    """Count the lines that report a test; an error ends the script that it is raised in."""
    tally = _Tally()
    problem = ""
    for line in lines:
        if found := pattern.search(line):
            word = (found["outcome"] or "").lower()
            outcome = next((each for each in tally.outcomes if word.startswith(each)), None)
            if outcome is None:
                raise ValueError(f"`{one_line(word, 20)}` is neither pass, fail nor skip")
            tally.add(outcome, found.groupdict().get("name") or line)
        elif _SCRIPT_ERROR.match(line):
            problem = f"ended in an error: {one_line(redact(line), _NAME_LENGTH)}"
    if not any(tally.outcomes.values()) and not problem:
        raise ValueError(
            f"holds neither TAP nor JUnit XML, and no line matches {one_line(pattern.pattern)}"
        )
    return tally.counts(problem)


def _junit(content: bytes) -> Counts:
    declared = _declared_failures(content)
    tally = _Tally()
    try:
        document = JUnitXml.fromstring(content)
        for suite in document:
            for case in suite:
                tally.add(_outcome(case), ".".join(filter(None, [case.classname, case.name])))
    except (JUnitXmlError, SyntaxError, TypeError):
        raise ValueError("is XML, but not JUnit XML") from None
    if not any(tally.outcomes.values()) and not declared:
        raise ValueError("is JUnit XML without a test")
    # A suite may fail as a whole, which is no test case of it.
    tally.outcomes["fail"] = max(tally.outcomes["fail"], declared)
    return tally.counts(began_at=min(_times(document), default=None))


def _outcome(case: TestCase) -> str:
    if case.is_failure or case.is_error:
        return "fail"
    return "skip" if case.is_skipped else "pass"


def _times(document: JUnitXml) -> Iterator[float]:
    """Yield when suites began; a time without a zone may be hours off and does not count."""
    for suite in document:
        try:
            moment = datetime.fromisoformat(suite.timestamp or "")
        except ValueError:
            continue
        if moment.tzinfo:
            yield moment.timestamp()


def _declared_failures(content: bytes) -> int:
    """Return the failures and errors that the suites of a file declare, after a look at its XML.

    Raises:
        ValueError: it is no XML, declares entities, is nested endlessly, or declares no number.
    """
    parser = expat.ParserCreate()
    path: list[str] = []
    declared = 0

    def refuse(*_: object) -> None:
        raise ValueError("has a document type declaration, which JUnit XML does not need")

    def begin(tag: str, attributes: Mapping[str, str]) -> None:
        nonlocal declared
        if tag == "testsuite" and path in ([], ["testsuites"]):
            for key in ("failures", "errors"):
                number = attributes.get(key, "0")
                if not re.fullmatch(r"\d{1,9}", number):
                    raise ValueError("is XML, but not JUnit XML")
                declared += int(number)
        path.append(tag)
        if len(path) > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} levels deep")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _: path.pop()
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"not XML: {error}") from None
    return declared
