"""A condition on a suite of tests: the newest result of each environment since the deployment."""

from collections.abc import Sequence
from typing import NamedTuple

from exporter.catalog.condition import Condition
from exporter.deployment.records import Outcome
from exporter.deployment.suite_results import SuiteRecord, SuiteResult
from exporter.wording import listed, moment

NOTHING_RECORDED = SuiteRecord(planned=1)

_WORST_FIRST = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)


class Judgement(NamedTuple):
    """An outcome, and why, in a few words."""

    outcome: Outcome
    reason: str


def judge_suite(condition: Condition, record: SuiteRecord, since: float) -> Judgement:
    """Judge a suite: no test failed, and at least as many passed as are planned.

    A failure is judged until the suite passes in the same environment, not in another one.

    Args:
        condition: on a suite.
        record: of that suite.
        since: Unix time of the last migration; a result from before proves nothing.
    """
    planned = max(record.planned, condition.planned or 0)
    if not record.results:
        told = f"no result yet: loom-exporter record {condition.suite} FILE"
        return Judgement(Outcome.INCONCLUSIVE, told)
    current = [result for result in record.results if result.at >= since]
    if not current:
        told = f"last run {moment(record.results[-1].at)}, before the last migration"
        return Judgement(Outcome.INCONCLUSIVE, told)
    newest = {result.environment: result for result in current}
    judged = [
        _judge(result, planned, [each for each in current if each.environment == environment])
        for environment, result in newest.items()
    ]
    outcome = min((each.outcome for each in judged), key=_WORST_FIRST.index)
    return Judgement(outcome, listed([each.reason for each in judged if each.outcome is outcome]))


def _judge(newest: SuiteResult, planned: int, results: Sequence[SuiteResult]) -> Judgement:
    where = f" in {newest.environment}" if newest.environment else ""
    at = f"{where}, {moment(newest.at)}" + (f", at {newest.commit}" if newest.commit else "")
    if newest.failed:
        names = f": {listed(newest.failed_names)}" if newest.failed_names else ""
        return Judgement(Outcome.FAIL, f"{_tests(newest.failed)} failed{at}{names}")
    if newest.problem:
        return Judgement(Outcome.INCONCLUSIVE, f"{newest.problem}{at}")
    if newest.passed < planned:
        skipped = f", {newest.skipped} skipped" if newest.skipped else ""
        told = f"{newest.passed} of {planned} planned tests passed{skipped}{at}"
        return Judgement(Outcome.INCONCLUSIVE, told)
    failures = sum(bool(result.failed) for result in results)
    earlier = f"; {failures} of {len(results)} runs since the migration failed" if failures else ""
    return Judgement(Outcome.PASS, f"{_tests(newest.passed)} passed{at}{earlier}")


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count} tests"
