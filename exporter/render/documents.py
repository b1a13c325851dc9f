"""Documents made from templates: HTML and Markdown, escaped for their format, without secrets."""

import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from exporter.deployment.records import Outcome
from exporter.redaction import redact
from exporter.render.text import OUTCOME_MARKS
from exporter.verdict.assess import Stage
from exporter.verdict.condition_result import ConditionResult
from exporter.verdict.criteria import CriterionResult
from exporter.verdict.metrics import PENDING
from exporter.verdict.plan import PlannedCheck
from exporter.wording import milliseconds, moment, one_line

STATUSES = {
    "pass": (OUTCOME_MARKS[Outcome.PASS], "met"),
    "fail": (OUTCOME_MARKS[Outcome.FAIL], "not met"),
    "inconclusive": (OUTCOME_MARKS[Outcome.INCONCLUSIVE], "open"),
    PENDING: ("○", "pending"),
}
"""The sign and the word for each status: colour alone is not readable for everybody."""

STATUS_OF_STAGE = {
    Stage.COLLECTING: PENDING,
    Stage.READY: "pass",
    Stage.NOT_READY: "fail",
    Stage.GO: "pass",
    Stage.NO_GO: "fail",
    Stage.INCONCLUSIVE: "inconclusive",
    Stage.ROLLED_BACK: "inconclusive",
}

_FOLDER = files("exporter.render").joinpath("templates")

STYLE = Markup(_FOLDER.joinpath("style.css").read_text(encoding="utf-8"))  # noqa: S704 - ours
SCRIPT = Markup(_FOLDER.joinpath("page.js").read_text(encoding="utf-8"))  # noqa: S704 - ours
"""Inline in the HTML; the content security policy allows them by their hash."""

_MARKDOWN_SYNTAX = re.compile(r"([\\`*\[\]|~])|(?<!\w)_|_(?!\w)")


def render(template: str, **values: object) -> str:
    """Return a template of the folder `templates`, filled in.

    Raises:
        UndefinedError: the template uses a value that is not given.
    """
    return _ENVIRONMENT.get_template(template).render(values)


def _escape_markdown(text: str) -> Markup:
    r"""Return text that Markdown shows unchanged, on one line of a table.

    >>> str(_escape_markdown("a|b `c` <d>\n_e_ f_g"))
    'a\\|b \\`c\\` &lt;d&gt;<br>\\_e\\_ f_g'
    """
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    escaped = "<br>".join(_MARKDOWN_SYNTAX.sub(r"\\\g<0>", text).splitlines())
    return Markup(escaped)  # noqa: S704 - escaped just now


def status_of(result: ConditionResult | CriterionResult | PlannedCheck) -> str:
    """Return the status as the metrics name it: pass, fail, inconclusive or pending."""
    return result.outcome.value if result.outcome else PENDING


def _answer(check: PlannedCheck) -> str:
    """Return the answer to a check of the plan; a sign-off states its time itself."""
    if check.at is None or check.is_manual:
        return check.evidence
    return f"{moment(check.at)}: {check.evidence}"


@pass_context
def _finalize(context: Context, value: object) -> object:
    # Secrets first: once a text is escaped, a secret in it is no longer recognised.
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    value = redact(value)
    name = context.name or ""
    if name.endswith(".txt"):
        return Markup(one_line(value))  # noqa: S704 - no markup is in plain text
    return _escape_markdown(value) if name.endswith(".md") else value


_ENVIRONMENT = Environment(
    loader=PackageLoader("exporter.render"),
    autoescape=True,  # as HTML, except for what `_finalize` has escaped as Markdown
    auto_reload=False,
    finalize=_finalize,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals |= {
    "statuses": STATUSES,
    "status_of": status_of,
    "answer": _answer,
    "moment": moment,
    "milliseconds": milliseconds,
}
