"""One line of log for each event, on standard error, for a person or for a machine."""

import logging
import sys
from typing import Any, Literal

import structlog

from exporter.redaction import redact
from exporter.settings import interactive

_QUIET = ("psycopg", "apscheduler", "asyncio", "uvicorn", "httpx", "httpcore")
"""Libraries whose news we log ourselves, with a name and a remedy; theirs only from `error` up."""


def configure_logging(form: Literal["console", "json"], level: str) -> None:
    """Send our own and every library's log lines to standard error in one form.

    Secrets are hidden in the finished line, wherever in it they came from.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(),
    ]
    render: list[Any] = (
        [structlog.processors.JSONRenderer(sort_keys=True)]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=interactive(), sort_keys=False, pad_event_to=0)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
                _hide_secrets,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _hide_secrets(_logger: Any, _method: str, line: Any) -> str:
    return redact(line)
