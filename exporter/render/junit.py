"""The verdict as JUnit XML, for the test report of a CI pipeline."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from exporter.deployment.records import Outcome
from exporter.redaction import redact
from exporter.verdict.assess import Assessment
from exporter.wording import one_line


def verify_junit(assessment: Assessment) -> str:
    """Return one test case for each criterion: fail is a failure, inconclusive is skipped."""
    outcomes = [each.outcome for each in assessment.criteria]
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        name=one_line(redact(assessment.title)),
        tests=str(len(outcomes)),
        failures=str(outcomes.count(Outcome.FAIL)),
        errors="0",
        skipped=str(outcomes.count(Outcome.INCONCLUSIVE)),
        timestamp=datetime.fromtimestamp(assessment.at, UTC).isoformat(timespec="seconds"),
        hostname=redact(assessment.database),
    )
    for result in assessment.criteria:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"phase.{result.phase}",
            name=one_line(redact(result.title)),
        )
        lines = [
            redact(finding.evidence)  # before it is escaped, when it is not recognised any more
            for finding in result.findings
            if finding.outcome is result.outcome
        ]
        if result.outcome is Outcome.FAIL:
            ET.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
        elif result.outcome is Outcome.INCONCLUSIVE:
            ET.SubElement(case, "skipped", message=lines[0])
        else:
            ET.SubElement(case, "system-out").text = "\n".join(lines)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
