"""The forms of an answer of `verify` and `ready`, and of /api/v1/verdict."""

from collections.abc import Callable, Mapping

from exporter.render.junit import verify_junit
from exporter.render.text import ready_text, verify_text
from exporter.render.verdict_json import verify_json
from exporter.verdict.assess import Assessment

ANSWERS: Mapping[str, Callable[[Assessment], str]] = {
    "json": verify_json,
    "text": verify_text,
    "junit": verify_junit,
    "ready": ready_text,
}
