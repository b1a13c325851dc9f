"""Whether the names in a deployment.yaml can be told apart."""

from collections.abc import Iterator

from exporter.catalog.condition import ALL
from exporter.catalog.deployment import OTHER, Deployment
from exporter.yaml_source import KeyPath

_Fault = tuple[KeyPath, str]


def inconsistencies(deployment: Deployment) -> Iterator[_Fault]:
    """Yield place and reason of each name that stands for two things, or for none."""
    yield from _of_phases(deployment)
    yield from _of_classes(deployment)
    yield from _of_criteria(deployment)


def _of_phases(deployment: Deployment) -> Iterator[_Fault]:
    if ALL in deployment.phases:
        yield ("phases", ALL), f"`{ALL}` stands for every phase; give the phase another name"
    kind = deployment.history.kind if deployment.history else None
    seen: set[str] = set()
    for name, phase in deployment.phases.items():
        for number, migration in enumerate(phase.migrations):
            place: KeyPath = ("phases", name, "migrations", number, "version")
            version = migration.version
            if kind in ("probe", "none"):
                yield (
                    place,
                    f"`history: {{kind: {kind}}}` looks for no migration; leave this one out, "
                    "or name the tool that keeps the history",
                )
            elif version in seen:
                yield place, f"migration {version} stands twice; leave one of them out"
            seen.add(version)


def _of_classes(deployment: Deployment) -> Iterator[_Fault]:
    reserved = f"`{OTHER}` stands for what is in none; leave it out"
    if OTHER in deployment.classes:
        yield ("classes", OTHER), reserved
    if OTHER in deployment.statement_roles:
        yield ("statement_roles", deployment.statement_roles.index(OTHER)), reserved
    seen: dict[str, str] = {}
    for name, rules in deployment.classes.items():
        for key in ("relations", "functions", "identities"):
            for number, claim in enumerate(getattr(rules, key)):
                if (first := seen.setdefault(claim, name)) != name:
                    place = ("classes", name, key, number)
                    yield place, f"{claim} stands in two classes, {first} and {name}"


def _of_criteria(deployment: Deployment) -> Iterator[_Fault]:
    places: list[KeyPath] = []
    for section in ("ready", "criteria", "rolled_back", "sign_offs"):
        places.extend((section, name) for name in getattr(deployment, section))
    for number, step in enumerate(deployment.plan):
        places.extend(("plan", number, "checks", name) for name in step.checks)
    seen: set[str] = set()
    for place in places:
        name = str(place[-1])
        if name in seen:
            yield place, f"{name} stands twice among criteria, checks and sign_offs; rename one"
        seen.add(name)
    for name, criterion in deployment.rolled_back.items():
        if criterion.phase == ALL:
            yield ("rolled_back", name), "must name the `phase` that was rolled back"
