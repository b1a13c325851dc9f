"""Keeps secrets out of everything the process says.

Whoever reads a secret hands it to `redact.hide()`; whoever writes a log line, an error or a page
passes its text through `redact()`. One object for the whole process, because logging is.
"""

import json
import re
import threading
from urllib.parse import quote, unquote

_MASK = "***"

_SHORTEST = 3
"""Shorter fragments stay: hiding every "a" would garble each line and protect nothing."""

_WORD = 8
"""A secret shorter than this is hidden where it stands as a word, not inside of other words."""


_MOST = 1_000
"""Forms of secrets that are hidden: a token that is rotated each hour would grow them for ever."""


class Redactor:
    """Replaces the secrets it was told with `***`."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        """In the order in which they were last hidden."""
        self._pattern: re.Pattern[str] | None = None
        """None where it is to be made of the secrets."""
        self._lock = threading.Lock()

    def hide(self, *secrets: str) -> None:
        """Hide each secret from now on, also percent-encoded, percent-decoded or quoted."""
        forms = [form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST]
        with self._lock:
            if any(form not in self._secrets for form in forms):
                self._pattern = None
            for form in forms:
                self._secrets.pop(form, None)
                self._secrets[form] = None
            for oldest in list(self._secrets)[: max(len(self._secrets) - _MOST, 0)]:
                del self._secrets[oldest]

    def __call__(self, text: str) -> str:
        """Return `text` without the secrets."""
        with self._lock:
            if not self._secrets:
                return text
            if self._pattern is None:
                # The longest first: a secret may contain another.
                longest_first = sorted(self._secrets, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(_pattern, longest_first)))
            pattern = self._pattern
        return pattern.sub(_MASK, text)


def _forms(secret: str) -> tuple[str, ...]:
    """Return `secret` as a URL, a connection string, Python and JSON write it."""
    return (
        secret,
        unquote(secret),
        quote(secret, safe="", errors="surrogateescape"),  # a variable may not be UTF-8
        secret.replace("\\", r"\\").replace("'", r"\'"),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    )


def _pattern(secret: str) -> str:
    pattern = re.escape(secret)
    return pattern if len(secret) >= _WORD else rf"(?<!\w){pattern}(?!\w)"


redact = Redactor()
