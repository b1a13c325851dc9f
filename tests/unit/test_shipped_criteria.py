"""The shipped deployment.yaml has every line of the checklist that people tick off."""

from __future__ import annotations

from exporter import catalog
from exporter.catalog.deployment import OTHER
from exporter.settings import packaged_queries

CATALOG = catalog.load_catalog(packaged_queries())
DEPLOYMENT = CATALOG.deployment


FAULTS = {"data_kept", "schema_kept", "planned_changes", "no_drift"}
"""Criteria that the checklist does not have: it takes for granted what they look for."""


def test_criteria_are_those_of_the_checklist() -> None:
    of_the_checklist = [
        criterion.title for name, criterion in DEPLOYMENT.criteria.items() if name not in FAULTS
    ]
    assert of_the_checklist == [
        "All migrations applied without errors",
        "All regression tests pass",
        "All RLS tests pass",
        "0 MFA discrepancies",
        "No increase in application error rates",
        "Query performance improved or stable",
        "No critical user-reported bugs",
        "Security audit log shows all events",
        "Materialized views populated correctly",
        "Backup verified and restorable",
    ]


def test_plan_is_that_of_the_checklist_which_has_nothing_for_the_sixth_day() -> None:
    assert {step.after / 86400: step.title.lower() for step in DEPLOYMENT.plan} == {
        1 / 24: "immediate monitoring",
        1: "check the mfa_status_discrepancies view",
        2: "run the validation scripts again",
        3: "review the security audit log for anomalies",
        4: "check application error rates",
        5: "review performance metrics",
        7: "full validation suite",
        14: "week 2: schedule the refresh of the materialized view",
        21: "week 3: the application moves to the new statements",
        28: "week 4: review",
    }


def test_sign_offs_are_those_of_the_checklist() -> None:
    assert [each.title for each in DEPLOYMENT.sign_offs.values()] == [
        "Database administrator reviewed and approved",
        "Application lead reviewed and approved",
        "Security team reviewed and approved",
        "Stakeholders notified",
        "Backup created and verified",
        "Rollback plan tested",
        "Monitoring alerts configured",
        "Documentation updated",
    ]


def test_tracked_numbers_are_those_of_the_checklist() -> None:
    assert [row.title.lower() for row in DEPLOYMENT.tracked] == [
        "users with mfa",
        "resource collections",
        "collection items",
        "progress records",
        "average mfa query time",
        "average rls query time",
        "mfa discrepancies",
        "vulnerable functions",
    ]


def test_tracked_numbers_have_a_before() -> None:
    metrics = CATALOG.metrics()
    for row in DEPLOYMENT.tracked:
        assert row.class_name or metrics[row.metric or ""].baseline, row.title


def test_every_class_is_judged() -> None:
    judged = {condition.class_name for _, condition in DEPLOYMENT.conditions()}
    assert {*DEPLOYMENT.classes, OTHER} <= judged


def test_every_phase_is_judged() -> None:
    judged = {criterion.phase for criterion in DEPLOYMENT.criteria.values()}
    assert judged == {*DEPLOYMENT.phases, "all"}


def test_no_condition_needs_an_extension_that_a_database_may_lack() -> None:
    optional = {
        name
        for query in CATALOG.queries
        if query.header.requires.extensions
        for name in query.metrics
    }
    assert optional
    used = {condition.metric for _, condition in DEPLOYMENT.conditions()}
    assert not used & optional


def test_labels_of_conditions_are_values_that_the_queries_write() -> None:
    # The names of phases and roles come to the queries as parameters; everybody is in each role.
    named = {*DEPLOYMENT.phases, *DEPLOYMENT.api_roles, "public"}
    for place, condition in DEPLOYMENT.conditions():
        feeders = "\n".join(
            query.text for query in CATALOG.queries if condition.metric in query.metrics
        )
        for values in condition.labels.values():
            for value in values:
                known = value in named or f"'{value}'" in feeders
                assert known, (place, value)
