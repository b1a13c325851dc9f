"""The criteria of the deployment, the checks of its plan, sign-offs, and tracked numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exporter.catalog.condition import ALL, Condition, LabelValues
from exporter.catalog.terms import Identifier, Model, Text
from exporter.durations import Duration


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
