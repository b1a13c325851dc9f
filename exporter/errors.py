"""One base of all errors that a user is told about: what is wrong, what to do, the exit code."""

from enum import IntEnum

from exporter.redaction import redact


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    UNREACHABLE = 4


class ExporterError(Exception):
    """An error that ends a command; `str()` is one line without any secret."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, remedy: str = "") -> None:
        """Keep what is wrong (`message`) and what to do about it (`remedy`)."""
        self.message = redact(message)
        self.remedy = redact(remedy)
        super().__init__(f"{self.message}; {self.remedy}" if self.remedy else self.message)

    @property
    def line(self) -> str:
        """What a command prints: the message with its remedy, and what it is about."""
        return str(self)


class UsageError(ExporterError):
    """A setting, a file or an argument that cannot be used."""

    exit_code = ExitCode.USAGE
