"""Response headers that keep a browser from running, loading or storing anything foreign."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping

PLAIN: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of a response without markup."""


def page_headers(style: str, script: str = "") -> Mapping[str, str]:
    """Return the headers of an HTML page with this inline style and script, and no other.

    They are allowed by hash and not by nonce, because one rendered page serves all clients. The
    script may send requests to this server only.
    """
    directives = [
        "default-src 'none'",
        f"style-src {_source(style)}",
        *([f"script-src {_source(script)}", "connect-src 'self'"] if script else []),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return {**PLAIN, "Content-Security-Policy": "; ".join(directives)}


def _source(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
