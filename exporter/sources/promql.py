"""The answer of Prometheus or Loki to an instant query, as one object for each series."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from exporter.run_state import RunError, State

_Sample = tuple[float, Annotated[float, BeforeValidator(float)]]
"""The time of the evaluation, and the value, which is text in the answer: it may be NaN or +Inf."""


class _Series(BaseModel):
    metric: dict[str, str] = {}
    value: _Sample


class _Vector(BaseModel):
    resultType: Literal["vector"]  # noqa: N815  # so it is spelt in the answer
    result: list[_Series]


class _Scalar(BaseModel):
    resultType: Literal["scalar"]  # noqa: N815
    result: _Sample


class _Answer(BaseModel):
    status: Literal["success"]
    warnings: Annotated[list[str], Field(max_length=0)] | None = None
    """Anything here says that the result may be incomplete."""
    data: Annotated[_Vector | _Scalar, Field(discriminator="resultType")]


_ANSWER = TypeAdapter(_Answer)
_FAULTS = {
    "status": "Prometheus or Loki reports an error",
    "warnings": "the result may be incomplete: it came with warnings",
}


def series_of(answer: Any) -> list[dict[str, str | float]]:
    """Return the labels of each series, with its value as `value`.

    Raises:
        RunError: `error`, it is another answer, one that failed, or one that may be incomplete.
    """
    try:
        data = _ANSWER.validate_python(answer).data
    except ValidationError as invalid:
        place = str(next(iter(invalid.errors()[0]["loc"]), ""))
        fault = _FAULTS.get(
            place,
            "the answer is not one number for each series; write an expression that gives an "
            "instant vector, such as sum(rate(…[5m]))",
        )
        raise RunError(State.ERROR, fault) from None
    if isinstance(data, _Scalar):
        return [{"value": data.result[1]}]
    return [{**series.metric, "value": series.value[1]} for series in data.result]
