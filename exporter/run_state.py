"""How the run of a query ended: its state, and the error of a run that gave no answer."""

from enum import StrEnum

from exporter.errors import ExitCode, ExporterError


class State(StrEnum):
    """The end of one run of one query; the values are those of the label `state`."""

    OK = "ok"
    EMPTY = "empty"
    ABSENT = "absent"
    UNCONFIGURED = "unconfigured"
    DENIED = "denied"
    LOCKED = "locked"
    LIMITED = "limited"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    OUTDATED = "outdated"
    ERROR = "error"

    @property
    def is_success(self) -> bool:
        """Whether the source gave an answer, with or without rows."""
        return self in (State.OK, State.EMPTY)

    @property
    def is_failure(self) -> bool:
        """Whether something is wrong; that nothing is there to be asked is no failure."""
        return not self.is_success and self not in (State.ABSENT, State.UNCONFIGURED)

    @property
    def keeps_values(self) -> bool:
        """Whether the last values stay the best that is known, until they are too old."""
        return self in (State.LOCKED, State.LIMITED, State.TIMEOUT, State.UNREACHABLE)


class RunError(ExporterError):
    """A run that gave no result; `str()` is one line for a log, without data of the source."""

    def __init__(self, state: State, detail: str) -> None:
        self.state = state
        if state is State.UNREACHABLE:
            self.exit_code = ExitCode.UNREACHABLE
        super().__init__(detail)

    @property
    def line(self) -> str:
        """The line that a command prints."""
        return f"database: {self}"
