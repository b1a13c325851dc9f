"""What benchmarks say: how far they are, and whether what is claimed holds."""

from __future__ import annotations

import sys


def claim(text: str, *, holds: bool) -> bool:
    """Print whether a claim holds, and return it."""
    print(f"claim: {text}: {'holds' if holds else 'DOES NOT HOLD'}", flush=True)
    return holds


def progress(text: str) -> None:
    """Say how far it is, to somebody who waits."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
