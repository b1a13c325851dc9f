"""Marks that several files put on their tests."""

from __future__ import annotations

import pytest

only_18 = pytest.mark.parametrize("server", [18], indirect=True)
