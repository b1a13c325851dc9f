"""How far the application has moved to the statements that replace others."""

from __future__ import annotations

from exporter.catalog.deployment import Replacement
from exporter.statements.adoption import Adoption
from exporter.statements.counters import Delta
from exporter.statements.tally import Counted, Known
from exporter.statements.text import identity

NEW, OLD = "SELECT new FROM things WHERE id = 1", "SELECT old FROM things WHERE id = 1"


def _called(sql: str, calls: int) -> Counted:
    return Counted(
        Known(identity(sql), "quick", "anon"), Delta._make([calls, *[0] * (len(Delta._fields) - 1)])
    )


def test_calls_of_new_and_old_statements_add_up_whatever_their_literals() -> None:
    adoption = Adoption([Replacement(new=NEW, old=OLD)])
    assert set(adoption.samples()["loom_replacement_calls_total"].values()) == {0.0}
    adoption.add([_called(OLD.replace("1", "7"), 5), _called("SELECT 1", 100)])
    adoption.add([_called(NEW, 2), _called(OLD, 3)])
    name = identity(NEW)
    assert adoption.samples() == {
        "loom_replacement_calls_total": {(name, "new"): 2, (name, "old"): 8}
    }
