"""Text files that are written atomically, and readable by their owner alone."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from exporter.errors import UsageError

MODE = 0o600
LARGEST_BYTES = 64 * 1024 * 1024


class FileError(UsageError):
    """A file that cannot be used; `str()` is one line: path, what is wrong, what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def write_file(path: Path, text: str) -> None:
    """Replace the content of a file atomically: a reader sees the old text or the new one.

    A process that is killed meanwhile may leave a temporary file beside the file.

    Raises:
        FileError: it cannot be written; what was there is still there.
    """
    try:
        _refuse_to_replace(path)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                os.fchmod(descriptor, MODE)  # mkstemp's, less the umask
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from None


def read_file(path: Path) -> str:
    """Return the text of a file.

    Raises:
        FileError: it cannot be read, is larger than `LARGEST_BYTES`, or no text in UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_BYTES:
        raise FileError(path, f"larger than {LARGEST_BYTES // 1024**2} MiB; no baseline is")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise FileError(path, "not UTF-8 text; export the baseline again") from None


def _refuse_to_replace(path: Path) -> None:
    # To rename over a link or a device, such as /dev/stdout, would put a file where that was.
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise FileError(path, "not a regular file; name one, or a new one")


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file survive a power failure too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
