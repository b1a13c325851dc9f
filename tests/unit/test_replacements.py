"""What deployment.yaml says that a release asks instead, against what the demo's application asks.

A statement is known by its text, so a text that has drifted from the application's would silently
leave the new statement without a baseline.
"""

from __future__ import annotations

from exporter.catalog import load_catalog
from exporter.demo.database import FILES
from exporter.demo.workload import WorkloadStatement
from exporter.settings import packaged_queries
from exporter.statements.classes import classify
from exporter.statements.text import identity, parse_statement

DEPLOYMENT = load_catalog(packaged_queries()).deployment
WORKLOAD = {
    identity(file.read_text()): WorkloadStatement.parse(file.read_text())
    for file in sorted((FILES / "workload").glob("*.sql"))
}
PAIRS = [
    (WORKLOAD[identity(each.new)], WORKLOAD[identity(each.old)])
    for each in DEPLOYMENT.replacements
    if {identity(each.new), identity(each.old)} <= WORKLOAD.keys()
]


def test_every_replacement_is_between_statements_of_the_application() -> None:
    texts = [text for each in DEPLOYMENT.replacements for text in (each.new, each.old)]
    assert texts
    assert [text for text in texts if identity(text) not in WORKLOAD] == []


def test_each_statement_that_comes_with_the_release_replaces_one_that_goes() -> None:
    come = {key for key, statement in WORKLOAD.items() if statement.requires}
    go = {key for key, statement in WORKLOAD.items() if statement.until}
    assert {identity(each.new) for each in DEPLOYMENT.replacements} == come
    assert {identity(each.old) for each in DEPLOYMENT.replacements} == go


def test_replacement_is_asked_by_the_same_role_as_often_and_from_the_same_moment() -> None:
    assert PAIRS
    for new, old in PAIRS:
        assert (new.role, new.weight, new.requires) == (old.role, old.weight, old.until)


def test_replacement_is_of_the_same_class() -> None:
    for new, old in PAIRS:
        found = {
            classify(parse_statement(each.text), DEPLOYMENT.classes).name for each in (new, old)
        }
        assert len(found) == 1
