"""The verdict as JSON with a stable schema, for `verify --format json` and /api/v1/verdict."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from exporter.durations import format_duration
from exporter.verdict.assess import Assessment
from exporter.verdict.criteria import CriterionResult
from exporter.verdict.plan import PlannedCheck

VERDICT_SCHEMA = "loom-exporter.verdict/1"
"""New keys may be added; removing a key or changing its meaning makes it /2."""

_DAYS_OF_A_WEEK = 7


def verify_json(assessment: Assessment) -> str:
    """Return the assessment as one JSON object. Times are ISO 8601 in UTC, null where unknown."""
    before = assessment.before
    data = {
        "schema": VERDICT_SCHEMA,
        "database": assessment.database,
        "deployment": assessment.title,
        "at": _iso(assessment.at),
        "stage": assessment.stage.value,
        "verdict": assessment.verdict.value,
        "readiness": assessment.readiness.value,
        "phases_to_blame": [
            {"phase": each.phase, "title": each.title, "risk": each.risk, "advice": each.advice}
            for each in assessment.blamed
        ],
        "phases": {
            name: {
                "applied": seen.is_applied,
                "at": _iso(seen.at),
                "rolled_back": seen.rolled_back
                and {**seen.rolled_back._asdict(), "at": _iso(seen.rolled_back.at)},
            }
            for name, seen in assessment.deployed.phases.items()
        },
        "baseline": before and {"began": _iso(before.began_at), "ended": _iso(before.ended_at)},
        "ready": [_criterion(each) for each in assessment.ready],
        "rolled_back": [_criterion(each) for each in assessment.rollback],
        "criteria": [_criterion(each) for each in assessment.criteria],
        "sign_offs": [_criterion(each) for each in assessment.sign_offs],
        "plan": [_check(each) for each in assessment.plan],
        "first_week": [_check(each) for each in assessment.plan if each.day <= _DAYS_OF_A_WEEK],
        "deployed_by": assessment.deployed_by,
        "notes": [
            {"at": _iso(each.at), "by": each.by, "text": each.text} for each in assessment.notes
        ],
        "tracked": [
            {
                "title": row.title,
                "unit": "seconds" if row.is_time else "",
                "before": _known(row.before),
                "after": _known(row.after),
            }
            for row in assessment.tracked
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check(check: PlannedCheck) -> dict[str, Any]:
    return {
        "after": format_duration(check.after),
        "day": check.day,
        "day_title": check.step_title,
        "name": check.name,
        "title": check.title,
        "manual": check.is_manual,
        "note": check.note,
        "status": check.outcome.value if check.outcome else "pending",
        "evidence": check.evidence,
        "at": _iso(check.at),
    }


def _criterion(result: CriterionResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "phase": result.phase,
        "manual": result.is_manual,
        "status": result.outcome.value,
        "note": result.note,
        "evidence": [
            {
                "status": finding.outcome.value,
                "text": finding.evidence,
                "selector": finding.selector,
                "phases": list(finding.phases),
            }
            for finding in result.worst_first()
        ],
    }


def _known(value: float | None) -> float | None:
    """Return a number that JSON has, or None."""
    return value if value is not None and math.isfinite(value) else None


def _iso(unix_seconds: float | None) -> str | None:
    """Return a time, or None if it is not known or beyond the calendar, as PostgreSQL's may be."""
    if unix_seconds is None:
        return None
    try:
        return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return None
