"""`verify` for machines: JSON with a stable schema, and JUnit XML for CI."""

import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from exporter.deployment.records import Outcome
from exporter.verdict.assess import Assessment
from exporter.verdict.results import CriterionResult
from exporter.wording import one_line

VERDICT_SCHEMA = "loom-exporter.verdict/1"
"""Grows by keys; a key that changes its meaning or goes makes it /2."""


def verify_json(assessment: Assessment) -> str:
    """Return everything that is said of the deployment as one JSON object; times are ISO 8601."""
    before = assessment.before
    data = {
        "schema": VERDICT_SCHEMA,
        "database": assessment.database,
        "deployment": assessment.title,
        "at": _iso(assessment.at),
        "verdict": assessment.verdict.value,
        "phases_to_blame": [
            {"phase": each.phase, "title": each.title, "risk": each.risk, "advice": each.advice}
            for each in assessment.blamed
        ],
        "phases": {
            name: {"applied": seen.is_applied, "at": _iso(seen.at)}
            for name, seen in assessment.deployed.phases.items()
        },
        "baseline": before and {"began": _iso(before.began_at), "ended": _iso(before.ended_at)},
        "criteria": [_judged(each) for each in assessment.criteria],
        "sign_offs": [_judged(each) for each in assessment.sign_offs],
        "first_week": [
            {
                "day": check.day,
                "day_title": check.day_title,
                "name": check.name,
                "title": check.title,
                "manual": check.is_manual,
                "note": check.note,
                "status": check.outcome.value if check.outcome else "pending",
                "evidence": check.evidence,
                "at": _iso(check.at),
            }
            for check in assessment.week
        ],
        "tracked": [
            {
                "title": row.title,
                "unit": "seconds" if row.is_time else "",
                "before": row.before,
                "after": row.after,
            }
            for row in assessment.tracked
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def verify_junit(assessment: Assessment) -> str:
    """Return the criteria as test cases: what fails is a failure, what is inconclusive skipped."""
    outcomes = [each.outcome for each in assessment.criteria]
    suite = ET.Element(
        "testsuite",
        name=one_line(assessment.title),
        tests=str(len(outcomes)),
        failures=str(outcomes.count(Outcome.FAIL)),
        errors="0",
        skipped=str(outcomes.count(Outcome.INCONCLUSIVE)),
        timestamp=_iso(assessment.at) or "",
        hostname=assessment.database,
    )
    for judged in assessment.criteria:
        case = ET.SubElement(
            suite, "testcase", classname=f"phase.{judged.phase}", name=one_line(judged.title)
        )
        lines = [
            finding.evidence for finding in judged.findings if finding.outcome is judged.outcome
        ]
        if judged.outcome is Outcome.FAIL:
            ET.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
        elif judged.outcome is Outcome.INCONCLUSIVE:
            ET.SubElement(case, "skipped", message=lines[0])
        else:
            ET.SubElement(case, "system-out").text = "\n".join(lines)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _judged(judged: CriterionResult) -> dict[str, Any]:
    return {
        "name": judged.name,
        "title": judged.title,
        "phase": judged.phase,
        "manual": judged.is_manual,
        "status": judged.outcome.value,
        "note": judged.note,
        "evidence": [
            {
                "status": finding.outcome.value,
                "text": finding.evidence,
                "phases": list(finding.phases),
            }
            for finding in judged.worst_first()
        ],
    }


def _iso(unix_seconds: float | None) -> str | None:
    if unix_seconds is None:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="seconds")
