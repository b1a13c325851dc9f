"""A baseline as JSON: written with a checksum, validated when read, refused with a reason."""

import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn

from pydantic import ValidationError

from exporter.baseline.artefact import Baseline
from exporter.errors import ExitCode, ExporterError
from exporter.statements.text import ALGORITHM
from exporter.yaml_source import plain_reason

_MAJOR = 2
BASELINE_SCHEMA = f"loom-exporter.baseline/{_MAJOR}"
"""Name and major version. A reader ignores what a minor version adds."""

_SCHEMA = re.compile(r"loom-exporter\.baseline/([1-9][0-9]{0,5})(\.[0-9]{1,6})?")
_SHA256 = "sha256"
_MAPPINGS = ("settings", "hours_of_week", "hours_of_day")


class Refusal(StrEnum):
    """Why a baseline is not used; the values are those of the label `reason`."""

    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    TAMPERED = "tampered"
    NEWER_VERSION = "newer_version"
    OLDER_VERSION = "older_version"
    OTHER_ALGORITHM = "other_algorithm"
    OTHER_DATABASE = "other_database"
    OTHER_DEPLOYMENT = "other_deployment"
    OTHER_SETTINGS = "other_settings"


class RefusedError(ExporterError):
    """A baseline that is not used; `str()` is one line that says why, and what to do."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        self.reason = reason
        if reason is Refusal.OTHER_DATABASE:
            self.exit_code = ExitCode.UNREACHABLE
        super().__init__(f"baseline: {detail}")

    @property
    def line(self) -> str:
        """What a command prints."""
        return f"{self} ({self.reason})"


def dumps(baseline: Baseline) -> str:
    """Return the document, one line with its line break."""
    body = {"schema": BASELINE_SCHEMA, **baseline.model_dump(mode="json", exclude={"statements"})}
    parts = {key: _canonical(value) for key, value in body.items()}
    # One statement at a time: all of them as Python objects take several times their text.
    statements = [_canonical(each.model_dump(mode="json")) for each in baseline.statements]
    parts["statements"] = f"[{','.join(statements)}]"
    digest = hashlib.sha256(_object(parts).encode()).hexdigest()
    return _object({**parts, _SHA256: _canonical(digest)}) + "\n"


def loads(text: str) -> Baseline:
    """Return the baseline in a document.

    The checksum finds accidents and edits, not forgery: anybody can compute another one.

    Raises:
        RefusedError: the document is malformed, changed, of a newer or an older version, or names
            statements by another algorithm.
    """
    body = _parse(text)
    _check_schema(body.get("schema"))
    claimed = body.pop(_SHA256, None)
    try:
        digest = _digest(body)
    except (ValueError, RecursionError):  # NaN, infinity, half a surrogate pair
        _refuse_shape("holds what JSON cannot")
    if claimed != digest:
        raise RefusedError(
            Refusal.TAMPERED,
            "not what its checksum says: it was changed after it was written; export it again",
        )
    _check_algorithm(body.get("identity"))
    try:
        return Baseline.model_validate(body)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        _refuse_shape(f"{_place(first['loc'])}: {plain_reason(first['type'], first['msg'])}")


def _parse(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _is_cut_off(text.rstrip(), error):
            raise RefusedError(
                Refusal.TRUNCATED, "cut off: its end is missing; export it again"
            ) from None
        _refuse_shape("not JSON")
    if not isinstance(body, dict):
        _refuse_shape("not a JSON object")
    return body


def _is_cut_off(text: str, error: Exception) -> bool:
    is_at_end = isinstance(error, json.JSONDecodeError) and error.pos >= len(text)
    return text.lstrip()[:1] in ("", "{") and (is_at_end or text[-1:] != "}")


def _check_schema(schema: object) -> None:
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        _refuse_shape(f"not one of schema {BASELINE_SCHEMA}")
    if int(match[1]) > _MAJOR:
        raise RefusedError(
            Refusal.NEWER_VERSION,
            f"of a newer loom-exporter, its schema is version {match[1]}, and this one knows "
            f"{_MAJOR}; upgrade this one, or capture a baseline again",
        )
    if int(match[1]) < _MAJOR:
        raise RefusedError(
            Refusal.OLDER_VERSION,
            f"of an older loom-exporter, schema {match[1]}, and holds no rows and "
            "no calls by hour, which are needed now; capture one again, or go back to that version",
        )


def _check_algorithm(identity: object) -> None:
    """Refuse a baseline whose statements this version would not find again by their names."""
    algorithm = identity.get("id_algorithm") if isinstance(identity, dict) else None
    if isinstance(algorithm, str) and algorithm != ALGORITHM:
        raise RefusedError(
            Refusal.OTHER_ALGORITHM,
            f"it names statements by the algorithm {algorithm!r:.40}, and this loom-exporter by "
            f"{ALGORITHM!r}, so none of them would be found; capture a baseline again",
        )


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )


def _object(parts: Mapping[str, str]) -> str:
    """Return the JSON object of values that are JSON, in the order of `_canonical`."""
    return "{" + ",".join(f'"{key}":{parts[key]}' for key in sorted(parts)) + "}"


def _place(loc: tuple[str | int, ...]) -> str:
    """Return the place of a value, up to the first key that is data and not part of the format."""
    steps: list[str] = []
    for step in loc:
        steps.append(str(step))
        if step in _MAPPINGS:
            break
    return ".".join(steps)


def _refuse_shape(what: str) -> NoReturn:
    raise RefusedError(
        Refusal.MALFORMED, f"{what}; give a document that `loom-exporter baseline export` wrote"
    )
