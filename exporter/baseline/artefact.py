"""The baseline as one document; `exporter.baseline.codec` reads and writes it as JSON.

It keeps sums, not means. Times in it are UTC, durations are in seconds.
"""

from datetime import UTC
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
)

from exporter.statements.text import ALGORITHM

Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[FiniteFloat, Field(ge=0)]
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""

Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""What `exporter.statements.text.identity` returns."""

HourOfWeek = Annotated[int, Field(ge=0, lt=168)]
"""Hours in UTC since Monday began."""

HourOfDay = Annotated[int, Field(ge=0, lt=48)]
"""Hours in UTC since the day began, and 24 more on a Saturday or Sunday."""


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Provenance(_Model):
    """The database that the baseline is of, and the circumstances under which it was measured.

    As `exporter.database.facts.ServerFacts`.
    """

    system_identifier: Annotated[str, StringConstraints(pattern=r"^[0-9]+$")] | None
    database_oid: Count
    database_name: str
    server_version_num: Count
    postmaster_start: Moment
    extension_version: str | None
    extension_schema: str | None
    settings: dict[str, str]
    planner_sha256: Digest
    id_algorithm: str = ALGORITHM
    """How statements are named (`exporter.statements.text`)."""
    classes_sha256: Digest | None
    """A hash of the rules that put statements into classes; None where it is not known."""


class Excluded(_Model):
    """A time that is not part of the baseline, and why."""

    start: Moment
    end: Moment
    reason: str


class BaselinePeriod(_Model):
    """When the baseline was measured."""

    start: Moment
    end: Moment
    bucket_seconds: Annotated[FiniteFloat, Field(gt=0, le=100 * 366 * 86400)]
    buckets: Count
    """How many were kept."""
    excluded: tuple[Excluded, ...] = ()
    evictions: Count
    """How many entries it evicted in this time to make room."""


class Cell(NamedTuple):
    """What a statement did in certain hours."""

    calls: Count
    seconds: Amount
    variance: Amount
    """Of one call, in seconds²."""


class BaselineStatement(_Model):
    """What a statement did as one role."""

    id: Fingerprint
    role: str
    class_name: str = Field(alias="class")
    text: str | None
    """As `exporter.statements.text.display_text` has it: without a literal."""
    calls: Count
    """In the last seven days, without the hours of incidents, as all that follows."""
    seconds: Amount
    rows: Count
    blocks: Count
    """Hit and read."""
    plan_seconds: Amount = 0.0
    """Planning time; 0 where it is not tracked."""
    variance: Amount
    """Of one call, in seconds², from all days, without the buckets of the largest deviations."""
    hours_left_out: Count = 0
    """Hours that were taken for incidents."""
    moved: Amount = 1.0
    """By what factor these hours would have raised the mean."""
    hours_of_week: dict[HourOfWeek, Cell] = {}
    hours_of_day: dict[HourOfDay, Cell] = {}


class BaselineClass(_Model):
    """What the statements of a class did as one role."""

    class_name: str = Field(alias="class")
    role: str
    calls: Count
    """In all hours of the baseline."""
    seconds: Amount
    """What these calls take at the means of the statements."""
    relative_error: Amount
    """ε of `exporter.comparison.window_noise.BaselineNoise`, as the three that follow are its τ."""
    hour_log_stddev: Amount
    six_hours_log_stddev: Amount
    day_log_stddev: Amount
    usual_calls: Annotated[tuple[Amount, ...], Field(min_length=168, max_length=168)]
    """Calls an hour, of all statements of the class, in each hour of the week."""
    moved: Amount = 1.0
    """By what factor the hours of incidents, which are left out, would have raised `seconds`."""


class GaugeSeries(_Model):
    """One value of a gauge; `labels` are values, in the order of the metric's labels."""

    labels: tuple[str, ...]
    value: FiniteFloat


class Gauge(_Model):
    """A gauge as it was before the deployment."""

    metric: str
    series: tuple[GaugeSeries, ...]
    taken_at: Moment


class Backtest(_Model):
    """How many hours of the baseline the rule was tried on, and how often it would have alerted."""

    windows: Count
    pages: Count
    tickets: Count = 0


class Baseline(_Model):
    """How the database was before its deployment."""

    tool_version: str
    created_at: Moment
    source: Literal["automatic", "captured", "since_reset"]
    deployment: str
    identity: Provenance
    window: BaselinePeriod
    statements: tuple[BaselineStatement, ...]
    classes: tuple[BaselineClass, ...]
    gauges: tuple[Gauge, ...]
    left_out: Count
    """How many statements were too many to be kept."""
    backtest: Backtest
