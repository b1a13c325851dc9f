"""Rules and routes in fast motion, for a rehearsal in which an hour lasts half a minute.

They are made from the files that are shipped, by their durations alone, so that what is rehearsed
is what is run.
"""

from __future__ import annotations

import re
from typing import Any

from exporter.durations import format_duration

HOUR_SECONDS = 30.0
"""How long an hour lasts."""

SCRAPE_SECONDS = 1.0
_LEAST_RANGE_SECONDS = 6.0
"""Below this a range would not hold the scrapes that a busy machine delays."""

_UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LENGTH = r"(\d+)([smhdw])"


def rules_in_fast_motion(document: dict[str, Any]) -> dict[str, Any]:
    """Return a file of rules with all its durations shortened.

    Those of ranges, offsets and `for`, the times between two evaluations, and hours that are
    written as `* 3600`. The label `window` stays what it stands for.
    """
    return {
        "groups": [
            {
                **group,
                "interval": format_duration(SCRAPE_SECONDS),
                "rules": [_rule(rule) for rule in group["rules"]],
            }
            for group in document["groups"]
        ]
    }


def routes_in_fast_motion(document: dict[str, Any], hook: str) -> dict[str, Any]:
    """Return the configuration of Alertmanager with short waits and with `hook` for receivers.

    Args:
        document: the configuration.
        hook: a URL; the name of the receiver is put behind it.
    """
    return {
        "route": _route(document["route"]),
        "inhibit_rules": document["inhibit_rules"],
        "receivers": [
            {
                "name": receiver["name"],
                "webhook_configs": [{"url": f"{hook}/{receiver['name']}"}],
            }
            for receiver in document["receivers"]
        ],
    }


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    changed = {**rule, "expr": expression_in_fast_motion(rule["expr"])}
    if "for" in rule:
        changed["for"] = _shortened(re.fullmatch(_LENGTH, rule["for"]))
    return changed


def expression_in_fast_motion(expression: str) -> str:
    """Return an expression with its durations shortened.

    >>> expression_in_fast_motion("time() - max_over_time(x[1h] offset 1w) > 26 * 3600")
    'time() - max_over_time(x[30s] offset 1h24m) > 26 * 30'
    """
    expression = re.sub(
        rf"\[{_LENGTH}\]", lambda found: f"[{_shortened(found, _LEAST_RANGE_SECONDS)}]", expression
    )
    expression = re.sub(
        rf"\boffset {_LENGTH}\b", lambda found: f"offset {_shortened(found)}", expression
    )
    return re.sub(r"\b3600\b", f"{HOUR_SECONDS:g}", expression)


def _shortened(found: re.Match[str] | None, least_seconds: float = 0.0) -> str:
    if found is None:
        raise ValueError("a duration of the rules is one number and one unit")
    seconds = int(found[1]) * _UNITS_SECONDS[found[2]] * HOUR_SECONDS / 3600
    return format_duration(max(seconds, least_seconds))


def _route(route: dict[str, Any]) -> dict[str, Any]:
    return {
        **route,
        "group_wait": "1s",
        "group_interval": "1s",
        "repeat_interval": "2s",
        **({"routes": [_route(each) for each in route["routes"]]} if "routes" in route else {}),
    }
