"""What most tests with a server use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.loom_database import LoomDatabase


@pytest.fixture
def application(loom: LoomDatabase) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the application's, as the owner of everything."""
    with loom.connect("postgres") as connection:
        yield connection
