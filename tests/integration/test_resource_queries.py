"""What is shown of the resource library: the flaws in its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.journey import Seen


def test_findings_are_those_that_the_seed_hides(seen: Seen) -> None:
    assert seen.series["loom_resource_findings"] == {
        ("orphaned_items",): 3,
        ("non_library_items",): 2,
        ("orphaned_progress",): 2,
        ("non_library_progress",): 4,
        ("empty_collections",): 3,
        ("duplicate_items",): 0,
        ("ownership_mismatch",): 2,
        ("progress_no_share",): 5,
        ("invalid_coach",): 1,
        ("invalid_client",): 2,
    }
