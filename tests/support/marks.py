"""Marks that several files put on their tests."""

from __future__ import annotations

import pytest

only_18 = pytest.mark.parametrize("server", [18], indirect=True)

plays_the_demo = pytest.mark.xdist_group("demo")
"""Runs in one process with all others that play it, because two demos slow each other down."""
