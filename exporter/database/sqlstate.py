"""The state that an error of PostgreSQL stands for, by its SQLSTATE."""

import psycopg

from exporter.run_state import State

_STATES = {
    "55000": State.ABSENT,  # object_not_in_prerequisite_state: a materialized view without data
    "42501": State.DENIED,  # insufficient_privilege, and what row_security = off refuses
    "55P03": State.LOCKED,  # lock_not_available
    "40P01": State.LOCKED,  # deadlock_detected
    "40001": State.LOCKED,  # serialization_failure: on a replica, a conflict with recovery
    "57014": State.TIMEOUT,  # query_canceled
    "53300": State.UNREACHABLE,  # too_many_connections
}

_UNDEFINED = ("42P01", "42883", "3F000", "42704")
"""undefined_table, undefined_function (operators too), invalid_schema_name, undefined_object.

A name that does not exist is a mistake, not an absent object, unless a header announces that it may
be missing: `cuont(*)` and a dropped table look the same to the server.
"""

_CONNECTION_LOST = ("08", "57P")  # connection exceptions; operator intervention, such as a shutdown


def state_of(error: psycopg.Error) -> State:
    """Return the state that `error` stands for.

    >>> state_of(psycopg.errors.LockNotAvailable())
    <State.LOCKED: 'locked'>
    """
    code = error.sqlstate
    if code is None:
        return State.UNREACHABLE if isinstance(error, psycopg.OperationalError) else State.ERROR
    if code.startswith(_CONNECTION_LOST):
        return State.UNREACHABLE
    message = error.diag.message_primary or ""
    if code == "XX000" and message.startswith(("cache lookup failed", "could not open relation")):
        return State.LOCKED  # the object was dropped while we looked at it
    return _STATES.get(code, State.ERROR)


def is_undefined(error: psycopg.Error) -> bool:
    """Return whether the server does not know a name of the statement."""
    return error.sqlstate in _UNDEFINED


def describe_error(error: psycopg.Error) -> str:
    """Return what happened, without values of the database.

    The message of a data exception (class 22) or of a constraint (23) quotes the value that it
    stumbled over, and a RAISE in somebody's function says whatever its author likes: these are
    left out.
    """
    code = error.sqlstate
    if code is None:
        return " ".join(str(error).split())
    if code.startswith(("22", "23", "P0")) or error.diag.source_function == "exec_stmt_raise":
        return (
            f"{type(error).__name__} ({code}); the message is withheld, because it may quote data"
        )
    hint = "; if it may be missing, name it under `requires`" if code == "42P01" else ""
    return f"{error.diag.message_primary} ({code}){hint}"
