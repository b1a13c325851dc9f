"""Marks that several files put on their tests."""

from __future__ import annotations

import pytest

only_18 = pytest.mark.parametrize("server", [18], indirect=True)

plays_the_demo = pytest.mark.xdist_group("demo")
"""For files that are not to run at the same time, in processes of their own."""

waits_for_the_frost = pytest.mark.xdist_group("frost")
"""For files that share the minute in which a server is frozen."""
