"""The criteria of the deployment: conditions, the checks of its plan, and sign-offs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from exporter.catalog.terms import Identifier, Model, Text
from exporter.durations import Duration

ALL = "all"
"""Every phase, where a phase can be named."""

BASELINE = "baseline"
"""The same as it was before the deployment, where something to compare with can be named."""

_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)\s?%", re.ASCII)


def _share(text: Any) -> float:
    match = _PERCENTAGE.fullmatch(text) if isinstance(text, str) else None
    if not match or float(match[1]) > 100:
        raise ValueError("must be a share, such as 1% or 2.5%, of at most 100%")
    return float(match[1]) / 100


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s?%$", "examples": ["1%", "2.5%"]}),
]
LabelValues = Annotated[
    tuple[Text, ...],
    Field(min_length=1),
    BeforeValidator(
        _one_or_more, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]
    ),
]


class Comparator(NamedTuple):
    """What a value is compared with: a number, seconds, or the name of something."""

    kind: str
    against: float | str


class Series(Model):
    """The series of a metric that have these label values."""

    metric: Identifier
    """A metric that a query feeds."""
    labels: dict[str, LabelValues] = Field(default_factory=dict)
    """Accepted values by label; a label that is not named may have any."""


class Rate(Model):
    """The share of events among trials, compared with the same hours of the baseline."""

    of: Series
    """The events, such as rollbacks; each series is judged by itself."""
    over: Series
    """The trials, such as transactions; all series are added up."""
    not_above: Literal["baseline"]
    """Against the same hours of the baseline."""


class Condition(Model):
    """What must hold: of each series of a metric, of a rate, of a class, or of a suite of tests.

    Exactly one of the comparisons is given; for a suite, `planned` stands in for it.
    """

    title: Text | None = None
    """What is counted, in words that follow a number: `functions without a search_path`."""
    metric: Identifier | None = None
    """A metric that a query feeds."""
    labels: dict[str, LabelValues] = Field(default_factory=dict)
    """Only series with one of these values count; without labels, every series does."""
    sum: bool = False
    """Whether the series are added up, instead of looked at one by one."""
    class_name: Annotated[Identifier | None, Field(alias="class")] = None
    """A class of `classes`, or `other`."""
    suite: Identifier | None = None
    """Each environment's newest result since the phase must be a pass."""
    sign_off: Identifier | None = None
    """One of `sign_offs`, which must be given."""
    phase: Identifier | None = None
    """The phase that it is about, if that is not the one of its criterion."""

    needed: bool = True
    """Whether a pass waits for it. One that is not needed holds nothing up while its answer is not
    known; it fails all the same."""

    equals: float | None = None
    """The value is this number."""
    at_most: float | None = None
    """The value is not above this number."""
    at_least: float | None = None
    """The value is not below this number."""
    not_below: Identifier | None = None
    """`baseline`, or another metric, one without labels."""
    not_above: Identifier | None = None
    """`baseline`, or another metric, one without labels."""
    by: Share = 0.0
    """How far, relatively, `not_below`, `not_above` and `present` may be missed."""
    newer_than: Duration | None = None
    """The value is a time. What is older proves nothing, so it is neither a pass nor a fail."""
    not_slower_than: Literal["baseline"] | None = None
    """Of a class: by the decision rule."""
    planned: Annotated[int, Field(ge=1)] | None = None
    """The least number of tests that must pass, if that of the suite is not enough."""
    present: Literal["baseline"] | None = None
    """Each series of the baseline is still there, and its value is not lower."""
    unchanged_since: Literal["deployment", "baseline"] | None = None
    """Each token is the one that was kept after the last migration or acknowledgement; or that one
    is the one from before the first migration, so that the deployment itself changed nothing."""
    ignore: tuple[Text, ...] = ()
    """Patterns (`*`, `?`) of objects that may change: `events_2025*`, `* on events_2025*`."""
    rate: Rate | None = None
    """The share of events among trials."""
    baseline_covers: Duration | None = None
    """The least time, in seconds, of which a baseline is collected."""

    @property
    def has_verdict_of_its_own(self) -> bool:
        """Whether it passes or not, without a comparison."""
        return (self.suite or self.sign_off or self.baseline_covers) is not None

    @property
    def comparison(self) -> Comparator:
        """The comparison that is given."""
        return next(self._comparisons())

    def _comparisons(self) -> Iterator[Comparator]:
        for kind in (
            *("equals", "at_most", "at_least", "not_below", "not_above"),
            *("newer_than", "not_slower_than", "present", "unchanged_since"),
        ):
            against = getattr(self, kind)
            if against is not None:
                yield Comparator(kind, against)
        if self.rate is not None:
            yield Comparator("rate", self.rate.not_above)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        subjects = (self.metric, self.class_name, self.suite, self.rate)
        if [*subjects, self.sign_off, self.baseline_covers].count(None) != 5:
            raise ValueError(
                "give one of `metric`, `class`, `suite`, `rate`, `sign_off` and `baseline_covers`"
            )
        if self.suite is None and self.planned is not None:
            raise ValueError("`planned` belongs to a `suite`")
        if self.has_verdict_of_its_own:
            if self.labels or self.sum or self.by or self.ignore or any(self._comparisons()):
                what = "suite" if self.suite else "sign_off" if self.sign_off else "baseline_covers"
                more = "`planned` and `phase`" if self.suite else "`title` and `phase`"
                raise ValueError(f"a `{what}` passes or not; it can only have {more}")
            return self
        if len(list(self._comparisons())) != 1:
            raise ValueError(
                "give one of equals, at_most, at_least, not_below, not_above, newer_than, "
                "not_slower_than, present, unchanged_since and rate"
            )
        kind = self.comparison.kind
        if (self.class_name is not None) != (kind == "not_slower_than"):
            raise ValueError("`class` and `not_slower_than` go together")
        if self.metric is None and (self.labels or self.sum):
            raise ValueError("`labels` and `sum` belong to a `metric`")
        if self.ignore and kind not in ("present", "unchanged_since"):
            raise ValueError("`ignore` belongs to present and unchanged_since")
        if self.sum and kind in ("present", "unchanged_since"):
            raise ValueError("each series is looked at; leave `sum` away")
        if self.by and kind not in ("not_below", "not_above", "present"):
            raise ValueError("`by` belongs to not_below, not_above and present")
        if self.sum and kind == "newer_than":
            raise ValueError("times cannot be added up; leave `sum` away")
        return self


class CriterionAlert(Model):
    """How LoomCriterionFailed tells that the criterion fails."""

    severity: Literal["critical", "warning", "info", "none"] = "warning"
    """`critical` wakes somebody, `warning` is a ticket; `none`: another alert speaks of it."""
    after: Annotated[Literal["1m", "5m", "15m", "1h"], Field(alias="for")] = "5m"
    """How long it must have failed."""
    runbook: Text | None = None
    """Where it says what to do: an address."""


class Criterion(Model):
    """What makes the deployment a success: conditions that all hold, or what a person says."""

    title: Text
    """For people."""
    phase: Identifier = ALL
    """From when on it is judged, and what is to blame if it fails."""
    conditions: tuple[Condition, ...] = ()
    """All of them must hold."""
    manual: bool = False
    """Whether a person judges it: `loom-exporter sign-off NAME`."""
    or_manual: bool = False
    """Whether people judge in place of the conditions whose source is not configured."""
    note: Text | None = None
    """How it is judged, or what a person should look at."""
    alert: CriterionAlert = Field(default_factory=CriterionAlert)
    """A ticket, unless it says otherwise."""

    @property
    def is_signed(self) -> bool:
        """Whether the word of a person counts."""
        return self.manual or self.or_manual

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.manual == bool(self.conditions):
            raise ValueError("give either `conditions` or `manual: true`")
        if self.or_manual and self.manual:
            raise ValueError("`or_manual` belongs to `conditions`; `manual: true` needs no more")
        return self


class Check(Model):
    """What is looked at once: conditions, criteria that must pass, or the word of a person."""

    title: Text
    """For people."""
    conditions: tuple[Condition, ...] = ()
    """All of them must hold."""
    criteria: tuple[Identifier, ...] = ()
    """Criteria that must pass."""
    manual: bool = False
    """Whether a person judges it: `loom-exporter sign-off NAME`."""
    or_manual: bool = False
    """Whether people judge in place of `conditions` of which the source of one is missing."""
    note: Text | None = None
    """How it is judged, or what a person should look at."""

    @property
    def is_signed(self) -> bool:
        """Whether the word of a person may count."""
        return self.manual or self.or_manual

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.manual == bool(self.conditions or self.criteria):
            raise ValueError("give either `conditions` and `criteria`, or `manual: true`")
        if self.or_manual and (self.criteria or not self.conditions):
            raise ValueError("`or_manual` belongs to `conditions` alone")
        return self


class Step(Model):
    """What is to be done some time after the deployment."""

    after: Duration
    """Seconds from the end of the deployment, or of the warm-up if that is later."""
    title: Text
    """What is done, for people."""
    checks: dict[Identifier, Check] = Field(min_length=1)
    """What is answered on that day, by name."""


class SignOffItem(Model):
    """What a person confirms beside the criteria: it need not be given, but can be refused."""

    title: Text
    """For people."""


class Tracked(Model):
    """A number that is shown as it was before and as it is after."""

    title: Text
    """For people."""
    metric: Identifier | None = None
    """A metric that a query feeds."""
    labels: dict[str, LabelValues] = Field(default_factory=dict)
    """Accepted values by label; all series are added up."""
    class_name: Annotated[Identifier | None, Field(alias="class")] = None
    """A class: its mean call time."""

    @model_validator(mode="after")
    def _is_one_number(self) -> Self:
        if (self.metric is None) == (self.class_name is None):
            raise ValueError("give either `metric` or `class`")
        if self.class_name and self.labels:
            raise ValueError("`labels` belong to a `metric`")
        return self


def conditions_with_places(
    criteria: Mapping[str, Mapping[str, Criterion]], plan: Sequence[Step]
) -> Iterator[tuple[tuple[str | int, ...], Condition]]:
    """Yield every condition, and before it where it stands in deployment.yaml.

    Args:
        criteria: by the section of the file, and by name.
        plan: what follows the deployment.
    """
    judged: list[tuple[tuple[str | int, ...], Criterion | Check]] = [
        *(
            ((section, name), criterion)
            for section, named in criteria.items()
            for name, criterion in named.items()
        ),
        *(
            (("plan", index, "checks", name), check)
            for index, step in enumerate(plan)
            for name, check in step.checks.items()
        ),
    ]
    for place, each in judged:
        for index, condition in enumerate(each.conditions):
            yield (*place, "conditions", index), condition
