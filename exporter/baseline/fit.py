"""Whether a baseline is of the database that is watched now."""

from exporter.baseline.artefact import Baseline, Provenance
from exporter.baseline.codec import Refusal, RefusedError
from exporter.database.facts import SETTINGS, ServerFacts
from exporter.database.identity import DatabaseIdentity

_SINCE = "are not what they were when the baseline was measured"

_DECISIVE = ("pg_stat_statements.track", "pg_stat_statements.track_planning")
"""With another value of these, the numbers mean something else."""


def provenance_of(facts: ServerFacts, classes_sha256: str | None) -> Provenance:
    """Return the provenance of a baseline that is measured on this database, by these rules."""
    return Provenance(
        system_identifier=facts.system_identifier,
        database_oid=facts.database_oid,
        database_name=facts.database_name,
        server_version_num=facts.server_version_num,
        postmaster_start=facts.postmaster_start,
        extension_version=facts.extension_version,
        extension_schema=facts.extension_schema,
        settings=dict(facts.settings),
        planner_sha256=facts.planner_sha256,
        classes_sha256=classes_sha256,
    )


def adopted(baseline: Baseline, facts: ServerFacts) -> Baseline:
    """Return the baseline as one of this database, such as a restored copy or a branch.

    Version and settings stay those under which it was measured, and are still compared.
    """
    identity = baseline.identity.model_copy(
        update={
            "system_identifier": facts.system_identifier,
            "database_oid": facts.database_oid,
            "database_name": facts.database_name,
        }
    )
    return baseline.model_copy(update={"identity": identity})


def check_fits(
    baseline: Baseline, facts: ServerFacts, deployment_name: str, classes_sha256: str | None
) -> list[str]:
    """Return what makes the comparison less certain, one line each.

    Args:
        baseline: as it was read.
        facts: of the database that is watched now.
        deployment_name: of the deployment that is watched now.
        classes_sha256: a hash of the current rules, as in `Provenance`; None compares none.

    Raises:
        RefusedError: the baseline is of something else.
    """
    _refuse_another_database(baseline.identity, facts)
    if baseline.deployment != deployment_name:
        raise RefusedError(
            Refusal.OTHER_DEPLOYMENT,
            f"of the deployment {baseline.deployment!r}, and this is {deployment_name!r}; "
            "point --queries at the folder of that one, or capture another baseline",
        )
    for name in _DECISIVE:
        before, now = baseline.identity.settings.get(name), facts.settings.get(name)
        if before != now:
            raise RefusedError(
                Refusal.OTHER_SETTINGS,
                f"measured with {name} {_told(before)}, and now it is {_told(now)}; "
                "set it as it was, or capture another baseline",
            )
    return _doubts(baseline.identity, facts, classes_sha256)


def _refuse_another_database(identity: Provenance, facts: ServerFacts) -> None:
    of = DatabaseIdentity(identity.database_name, identity.database_oid, identity.system_identifier)
    if difference := of.difference(facts.identity):
        raise RefusedError(
            Refusal.OTHER_DATABASE,
            f"of {difference}; if this is a copy of that one, import it with "
            "--allow-other-database",
        )


def _doubts(identity: Provenance, facts: ServerFacts, classes_sha256: str | None) -> list[str]:
    compared = [
        ("PostgreSQL", identity.server_version_num // 10_000, facts.server_version_num // 10_000),
        ("pg_stat_statements", identity.extension_version, facts.extension_version),
        *((name, identity.settings.get(name), facts.settings.get(name)) for name in SETTINGS),
    ]
    doubts = [
        f"{name} was {_told(before)} when the baseline was measured, and now it is {_told(now)}"
        for name, before, now in compared
        if before != now
    ]
    if identity.planner_sha256 != facts.planner_sha256:
        doubts.append(f"settings of the planner or of memory {_SINCE}")
    rules = (identity.classes_sha256, classes_sha256)
    if None not in rules and rules[0] != rules[1]:
        doubts.append(f"the rules of the classes {_SINCE}")
    return doubts


def _told(value: object) -> str:
    return "absent" if value is None else repr(value)
