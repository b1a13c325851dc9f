"""Marks that several files put on their tests."""

from __future__ import annotations

import pytest

only_18 = pytest.mark.parametrize("server", [18], indirect=True)

plays_the_demo = pytest.mark.xdist_group("rehearsal")
"""Plays a demo of its own, after those of the rehearsal: demos slow each other down."""
