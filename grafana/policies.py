"""Row-level security: is it on, are the policies there, and can they be evaluated?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.board import Row
from grafana.looks import GREEN, RED, Word, bad_below, bad_from
from grafana.panels import Query, number
from grafana.tables import Label, Value, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table


def policies() -> Row:
    """Return the row about policies."""
    return Row("Row-level security", [_cycles(), _expected(), _tables(), _columns()])


def _cycles() -> stat.Panel:
    return number(
        "Tables in a policy cycle",
        """Tables whose policies lead back to themselves. 0 is good. Each of them fails with
        "infinite recursion detected in policy" for every user: fix forward with a SECURITY DEFINER
        helper, or roll back the rls phase if nobody can read the library.""",
        Query("max(loom_rls_policy_cycle_tables{@})", "tables"),
        unit="none",
        width=6,
        height=8,
        steps=bad_from(1),
    )


def _expected() -> table.Panel:
    return rows(
        "Policies of the deployment",
        """The policies that the rls phase brings. All present is good once it is applied; one that
        is missing denies its users, as the default is to deny: apply the migration again.""",
        [Label("table", "Table"), Label("policy", "Policy")],
        [
            Value(
                "There",
                "min by (table, policy) (loom_rls_policy_present{@})",
                steps=bad_below(1),
                words={"0": Word("missing", RED), "1": Word("yes", GREEN)},
            )
        ],
        width=18,
    )


def _tables() -> table.Panel:
    kept = "max by (table, command) (loom_rls_policies{}{{@}})"
    return rows(
        "Policies of each table",
        """Whether row-level security is on, how many policies there are, how many of those before
        the deployment are gone, and when they last changed. Off is open to everybody: ALTER TABLE
        ... ENABLE ROW LEVEL SECURITY at once. A change that nobody announced is worth a look.""",
        [Label("table", "Table")],
        [
            Value(
                "Security",
                "min by (table) (loom_rls_enabled{@})",
                steps=bad_below(1),
                words={"0": Word("off", RED), "1": Word("on", GREEN)},
            ),
            Value("Policies", "sum by (table) (max by (table, command) (loom_rls_policies{@}))"),
            Value(
                "Gone",
                f"""sum by (table) (clamp_min(
                  {kept.format("_baseline")} - {kept.format("")}, 0))""",
                steps=bad_from(1),
            ),
            Value(
                "Changed",
                "max by (table) (loom_rls_policies_changed_timestamp_seconds{@}) * 1000",
                unit="dateTimeFromNow",
            ),
        ],
        width=14,
        height=10,
    )


def _columns() -> table.Panel:
    references = "max by (table, column) (loom_rls_policy_column_references{}{{@}})"
    now = 'max by (table, column) (loom_rls_policy_column_references{@, column="COLUMN"})'
    return rows(
        "Columns that policies refer to",
        """Policies of the repaired tables that use file_id, as they should, and resource_id, as
        they did when they were broken. After the rls phase there is none left of the latter;
        otherwise the old policies are still there, or are there again.""",
        [Label("table", "Table"), Label("column", "Column")],
        [
            Value("Before", references.format("_baseline")),
            Value("Now", references.format("")),
            Value(
                "Is",
                f"""({now.replace("COLUMN", "resource_id")} > bool 0)
                or ({now.replace("COLUMN", "file_id")} < bool 1)""",
                steps=bad_from(1),
                words={"0": Word("right", GREEN), "1": Word("wrong", RED)},
            ),
        ],
        width=10,
        height=10,
    )
