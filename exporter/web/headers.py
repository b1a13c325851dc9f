"""What a browser is told beside a page: to run, load and keep nothing that is not ours."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping

PLAIN: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""For an answer without markup."""


def page_headers(style: str, script: str = "") -> Mapping[str, str]:
    """Return the headers of an HTML page that has this inline style and script, and no other.

    By hash and not by nonce, because a page is made once for all who ask for it. What the page
    asks for by script is of this server alone.
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
