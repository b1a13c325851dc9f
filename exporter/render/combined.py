"""The answers about several databases as one document."""

import json
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from exporter.wording import one_line

COMBINED_FORMS = ("text", "ready", "json", "junit", "markdown", "notification")
"""The forms that may hold several answers; an HTML page is one report."""


def combined(form: str, answers: Mapping[str, str], problems: Mapping[str, str]) -> str:
    """Return one document of the answers.

    Args:
        form: one of `COMBINED_FORMS`.
        answers: a document in this form, by database.
        problems: why there is no answer, by database.
    """
    if form == "json":
        databases: dict[str, object] = {name: json.loads(text) for name, text in answers.items()}
        databases |= {name: {"error": problem} for name, problem in problems.items()}
        return json.dumps({"databases": databases}, indent=2) + "\n"
    if form == "junit":
        return _junit(answers, problems)
    if form == "markdown":
        return "\n".join([*answers.values(), *map(_no_report, problems.items())])
    parts = [f"== {name} ==\n{text}" for name, text in answers.items()]
    parts += [f"== {name} ==\nno answer: {problem}\n" for name, problem in problems.items()]
    return "\n".join(parts)


def _no_report(problem: tuple[str, str]) -> str:
    return f"# No report of {problem[0]}\n\n{one_line(problem[1])}\n"


def _junit(answers: Mapping[str, str], problems: Mapping[str, str]) -> str:
    root = ET.Element("testsuites")
    for text in answers.values():
        root.extend(ET.fromstring(text))  # noqa: S314 - we have just made it, or our daemon has
    for name, problem in problems.items():
        counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
        suite = ET.SubElement(root, "testsuite", {"name": name, "hostname": name, **counts})
        case = ET.SubElement(suite, "testcase", classname="database", name="is judged")
        ET.SubElement(case, "error", message=one_line(problem))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
