"""Whether what a pack names is in the database: `loom-exporter check --database`."""

import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import NamedTuple

from exporter.catalog import Catalog
from exporter.catalog.relation_name import RelationName
from exporter.database.names import read_names
from exporter.deployment.mentions import Brought, Kind, Mention, brought, mentions
from exporter.run_state import State

_MOST_COMPARED = 5_000
"""Names among which a misspelt one is looked for; more of them take seconds."""

_NAMES_ALONE = 180_000
"""From this version on, pg_stat_statements knows relations by their names, without schemas."""

_SYSTEM = ("pg_catalog", "information_schema")


class Resolved(NamedTuple):
    """What was found about one name, or about all: `ok`, `absent` (not yet) or `error`.

    `place` is the file with its line.
    """

    place: str
    state: State
    detail: str


def resolve(conninfo: str, catalog: Catalog, test_users: Set[str] | None) -> list[Resolved]:
    """Look up in the catalogs what a pack names.

    Args:
        conninfo: of the database.
        catalog: the pack.
        test_users: names of those in the settings; None where no probes are asked.

    Raises:
        RunError: the database cannot be asked.
    """
    found = read_names(conninfo)
    known: dict[Kind, Set[RelationName]] = dict(found.names.items())
    if test_users is not None:
        known["test user"] = {RelationName(None, each) for each in test_users}
    return list(_findings(catalog, known, found.database, found.server_version))


def _findings(
    catalog: Catalog,
    known: Mapping[Kind, Set[RelationName]],
    database: str,
    server_version: int,
) -> Iterator[Resolved]:
    coming = list(brought(catalog.deployment))
    named = [each for each in mentions(catalog) if each.kind in known]
    missing = [each for each in named if not _is_among(each.name, known[each.kind])]
    relations = [
        each
        for each in named
        if each.kind == "relation"
        and each.name.schema not in _SYSTEM
        and not _phase_of(each, coming)
    ]
    if relations and not any(_meant(each, known["relation"]) for each in relations):
        count, names = len({each.name for each in relations}), str(relations[0].name)
        yield _at(
            relations[0],
            State.ERROR,
            f"THIS PACK IS FOR ANOTHER DATABASE: none of its {count} relations, such as {names},"
            f" is in {database}; name the pack of this database with --queries, or the database"
            " of this pack in the settings",
        )
        return
    for each in sorted(missing, key=_place_of):
        if phase := _phase_of(each, coming):
            yield _at(each, State.ABSENT, f"{each.name} is not there yet: phase {phase} brings it")
        elif fault := _fault(each, known[each.kind]):
            yield _at(each, State.ERROR, fault)
    if server_version >= _NAMES_ALONE:
        yield from _shared_names(named, known["relation"])
    found = {(each.kind, each.name) for each in named if each not in missing}
    place = Path(catalog.document.place).name if catalog.document else ""
    told = "1 name" if len(found) == 1 else f"{len(found)} names"
    yield Resolved(place, State.OK, f"{told} found in the database {database}")


def _shared_names(named: Iterable[Mention], known: Set[RelationName]) -> Iterator[Resolved]:
    """Yield a warning for each relation of a class whose name another schema has too."""
    for each in named:
        if each.kind != "relation" or each.path[0] != "classes" or each.name.schema is None:
            continue
        others = sorted(
            str(other)
            for other in known
            if other.name == each.name.name and other.schema not in (each.name.schema, *_SYSTEM)
        )
        if others:
            yield _at(
                each,
                State.OK,
                f"{each.name} shares its name with {', '.join(others)}: PostgreSQL 18 counts one"
                " statement for both where the rest of it is alike, under the class of the first",
            )


def _place_of(mention: Mention) -> tuple[str, int]:
    error = mention.document.error(mention.path, "")
    return mention.document.place, error.line_number


def _at(mention: Mention, state: State, detail: str) -> Resolved:
    """Return a finding with the place of a name."""
    place, _, told = str(mention.document.error(mention.path, detail)).partition(": ")
    return Resolved(Path(place).name, state, told)


def _is_among(name: RelationName, known: Set[RelationName]) -> bool:
    if name.schema is not None:
        return name in known
    return name in known or any(each.name == name.name for each in known)


def _phase_of(mention: Mention, coming: Iterable[Brought]) -> str | None:
    """Return the phase that brings what is named."""
    for each in coming:
        schemas = {each.name.schema, mention.name.schema} - {None}
        if each.kind == mention.kind and each.name.name == mention.name.name and len(schemas) < 2:
            return each.phase
    return None


def _fault(mention: Mention, known: Set[RelationName]) -> str | None:
    """Return what is wrong with a name that is not there; None where it may be missing."""
    kind, name = mention.kind, mention.name
    if kind == "test user":
        return f"there is no test user {name} in the settings (`probe_subjects`)"
    same = _meant(mention, known)
    if same is None and not mention.is_required:
        return None
    told = f"there is no {kind} {name}"
    if same:
        return f"{told}; did you mean {same}? Names are written as the catalog has them"
    if similar := _similar(name, known):
        return f"{told}; did you mean {similar}?"
    if kind in ("relation", "function"):
        return f"{told}; if a phase brings it, name it among the `objects` of the phase"
    return told


def _meant(mention: Mention, known: Set[RelationName]) -> RelationName | None:
    """Return the known name that differs in case, spaces, quotation marks or schema alone.

    What may be missing is not looked for in other schemas.
    """
    name = mention.name
    wanted = RelationName(name.schema and _folded(name.schema), _folded(name.name))
    found = [each for each in known if _folded(each.name) == wanted.name]
    found.sort(key=lambda each: (_folded(each.schema or "") != wanted.schema, str(each)))
    if not found or found[0].schema in _SYSTEM:
        return None
    is_near = _folded(found[0].schema or "") == (wanted.schema or "")
    return found[0] if is_near or mention.is_required else None


@functools.cache  # a database may have a hundred thousand names
def _folded(text: str) -> str:
    return re.sub(r'[\s"_]+', "", text).lower()


def _similar(name: RelationName, known: Set[RelationName]) -> str | None:
    among = [str(each) for each in known if name.schema in (None, each.schema)]
    if len(among) > _MOST_COMPARED:
        return None
    near = difflib.get_close_matches(str(name), among, n=1, cutoff=0.8)
    return near[0] if near else None
