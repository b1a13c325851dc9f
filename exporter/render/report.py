"""`report`: the checklist filled in, as Markdown and as one HTML page."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from exporter.redaction import redact
from exporter.render.text import OUTCOME_MARKS, TITLES, summary
from exporter.verdict.assess import Assessment
from exporter.verdict.first_week import DayCheck
from exporter.wording import UNKNOWN, moment, quantity

TIMES = (
    "A time is that of the calls of which a baseline is known; before is what today's calls would "
    "have taken then, so that another mix of calls does not show as a change."
)

REPORT_STYLE = (
    files("exporter.render").joinpath("templates", "report.css").read_text(encoding="utf-8")
)
"""The one style sheet of the HTML report, which a content security policy names by its hash."""

_SPECIAL = re.compile(r"([\\`*\[\]|~])|(?<!\w)_|_(?!\w)")


def report_markdown(assessment: Assessment) -> str:
    """Return the report as Markdown (GitHub's)."""
    return "\n".join(_markdown(assessment)) + "\n"


def report_html(assessment: Assessment) -> str:
    """Return the report as one HTML page that needs nothing else."""
    return page_template("exporter.render", "report.html").render(
        style=Markup(REPORT_STYLE),  # noqa: S704 - a file of ours
        assessment=assessment,
        facts=_facts(assessment),
        verdict=TITLES[assessment.verdict],
        summary=summary(assessment),
        marks=OUTCOME_MARKS,
        pending=UNKNOWN,
        quantity=quantity,
        answer=_answer,
        times=TIMES,
    )


@cache
def page_template(package: str, name: str) -> Template:
    """Return a template of HTML in the folder `templates` of a package.

    What it shows is escaped and has no secret, and what is not given is an error.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=_without_secrets,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _without_secrets(shown: object) -> object:
    # After it is escaped, a secret is not seen as one.
    return redact(shown) if isinstance(shown, str) and not isinstance(shown, Markup) else shown


def _facts(assessment: Assessment) -> list[tuple[str, str]]:
    """Return what the report is about, by heading."""
    deployed, before = assessment.deployed, assessment.before
    window = f"{moment(before.began_at)} to {moment(before.ended_at)}" if before else "none"
    phases = [
        f"{name} {moment(seen.at) if seen.at else 'at an unknown time'}"
        for name, seen in deployed.phases.items()
        if seen.is_applied
    ]
    return [
        ("Database", assessment.database),
        ("Generated", moment(assessment.at)),
        ("Phases applied", ", ".join(phases) or "none"),
        ("Baseline", window),
    ]


def _markdown(assessment: Assessment) -> Iterator[str]:
    yield f"# {_escaped(assessment.title)}: {TITLES[assessment.verdict]}"
    yield ""
    yield _escaped(summary(assessment))
    yield ""
    for blamed in assessment.blamed:
        yield (
            f"- **Phase {blamed.phase}** ({_escaped(blamed.title)}): rollback risk "
            f"**{blamed.risk}**. {_escaped(blamed.advice)}"
        )
    if assessment.blamed:
        yield ""
    yield from _table(("", ""), _facts(assessment))
    yield from _section("Before and after")
    yield from _table(
        ("", "Before", "After"),
        (
            (row.title, *(quantity(each, is_time=row.is_time) for each in (row.before, row.after)))
            for row in assessment.tracked
        ),
    )
    yield ""
    yield TIMES
    yield from _section("Success criteria")
    yield from _table(
        ("", "Criterion", "Phase", "Evidence"),
        (
            (
                OUTCOME_MARKS[judged.outcome],
                judged.title,
                judged.phase,
                _lines(*(finding.evidence for finding in judged.worst_first()), judged.note),
            )
            for judged in assessment.criteria
        ),
    )
    yield from _section("First week")
    yield from _table(
        ("", "Day", "Check", "Answer"),
        (
            (
                _mark(check),
                f"{check.day}: {check.day_title}",
                check.title,
                _lines(_answer(check), check.note),
            )
            for check in assessment.week
        ),
    )
    yield from _section("Sign-off")
    yield from _table(
        ("", "", ""),
        (
            (OUTCOME_MARKS[each.outcome], each.title, each.findings[0].evidence)
            for each in assessment.sign_offs
        ),
    )


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def _mark(check: DayCheck) -> str:
    return OUTCOME_MARKS[check.outcome] if check.outcome else UNKNOWN


def _answer(check: DayCheck) -> str:
    if check.at is None or check.is_manual:  # a sign-off says its time itself
        return check.evidence
    return f"{moment(check.at)}: {check.evidence}"


def _section(title: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(_escaped(cell) for cell in row)} |"


def _escaped(text: str) -> str:
    r"""Return text that Markdown shows as it is, on one line of a table.

    >>> _escaped("a|b `c` <d>\n_e_ f_g")
    'a\\|b \\`c\\` &lt;d&gt;<br>\\_e\\_ f_g'
    """
    text = redact(text)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return "<br>".join(_SPECIAL.sub(r"\\\g<0>", text).splitlines())
