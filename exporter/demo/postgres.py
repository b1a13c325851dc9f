"""A PostgreSQL server of one's own, for a demonstration or a test.

Its data live in one folder and need not survive a power cut, so it never waits for the disk. It
listens on 127.0.0.1 only, asks everyone for a password, and does not outlive the process that
started it, however that ends.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import time
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote

from exporter.demo.processes import children, free_port, send_signal, wait_until_gone
from exporter.demo.programs import Programs, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# A pipe from us to this shell closes when we end, even by SIGKILL; a line on it says "all is well".
# SIGCONT comes after, because a frozen server would never see the SIGQUIT.
_WATCHER = 'read line || { kill -s QUIT "$1"; kill -s CONT "$1"; }'


class PostgresServer:
    """One PostgreSQL server in one folder.

    Root may not run PostgreSQL, so when root asks, the server runs as the account `nobody`, which
    is given the folder. That account must be able to reach the folder (below `/tmp`, say, not
    below root's home). Programs that it cannot reach are copied into the folder first.

    Args:
        bin_dir: Where `postgres` and `initdb` are.
        folder: Made if it is not there; data, log and copies are kept in it.
        settings: Server settings, as in postgresql.conf; they win over the ones chosen here.
        superuser: Name of the superuser, whose password is `password`.
        port: TCP port on 127.0.0.1; a free one if not given. It stays the same over restarts.
        start_timeout_seconds: How long the server may take until it accepts connections.
    """

    def __init__(
        self,
        bin_dir: Path,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        superuser: str = "supabase_admin",
        port: int | None = None,
        start_timeout_seconds: float = 60.0,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.superuser = superuser
        self.password = secrets.token_urlsafe(18)
        self.port = free_port() if port is None else port
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "off",
            "full_page_writes": "off",
            **(settings or {}),
            "port": str(self.port),
        }
        self._programs = Programs.in_folder(bin_dir)
        self._start_timeout_seconds = start_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @cached_property
    def version(self) -> int:
        """The major version, such as 17."""
        return self._programs.major_version()

    @property
    def running(self) -> bool:
        """Whether the server's main process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the server's main process."""
        if self._process is None:
            raise ServerError("The PostgreSQL server was never started.")
        return self._process.pid

    def dsn(
        self, dbname: str = "postgres", user: str | None = None, password: str | None = None
    ) -> str:
        """Return a connection URL; without `user`, the superuser's."""
        if user is None:
            user, password = self.superuser, self.password
        secret = "" if password is None else ":" + quote(password, safe="")
        return (
            f"postgresql://{quote(user, safe='')}{secret}"
            f"@127.0.0.1:{self.port}/{quote(dbname, safe='')}"
        )

    def start(self) -> Self:
        """Start the server, making its data first if need be, and wait until it takes connections.

        Raises:
            ServerError: It did not start; the message ends with the last lines of its log.
        """
        if self.running:
            raise ServerError(f"The PostgreSQL server on port {self.port} is already running.")
        if not self.data.exists():
            self._make_data()
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        self._dismiss_watcher()
        with self.log.open("ab") as log:
            self._process = self._programs.spawn(
                "postgres", "-D", str(self.data), *options, folder=self.folder, output=log.fileno()
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "sh", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(
        self, mode: Literal["fast", "immediate"] = "fast", *, timeout_seconds: float = 30.0
    ) -> None:
        """Stop the server, if it is running: `fast` in good order, `immediate` as in a crash.

        One that is not gone after the timeout is killed.
        """
        if self._process is not None and self.running:
            self.thaw()
            self._process.send_signal(_STOP_SIGNALS[mode])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_seconds)
        self.kill()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start again, on the same port with the same data."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """End the server and all its processes by SIGKILL; what was committed survives."""
        if self._process is not None and self.running:
            pids = self._pids()
            send_signal(pids, signal.SIGKILL)
            self._process.wait(10.0)
            wait_until_gone(pids, timeout_seconds=10.0)
        self._dismiss_watcher()

    def freeze(self) -> None:
        """Hold all of the server's processes: connections stay open, and nobody answers."""
        # The main process first, so that it cannot start another one meanwhile.
        send_signal([self.pid], signal.SIGSTOP)
        send_signal(self._pids(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let frozen processes go on; harmless when they were not frozen."""
        send_signal(self._pids(), signal.SIGCONT)

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _make_data(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        self._programs.give(self.folder)
        self._programs.give(password_file)
        self._programs = self._programs.within_reach(self.folder)
        arguments = [
            f"--pgdata={self.data}",
            f"--username={self.superuser}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        try:
            with self.log.open("wb") as log:
                code = self._programs.spawn(
                    "initdb", *arguments, folder=self.folder, output=log.fileno()
                ).wait()
        finally:
            password_file.unlink()
        if code != 0:
            raise ServerError(f"initdb could not make {self.data}:\n{self.log_tail()}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_seconds
        while not self._ready():
            if not self.running:
                problem = "PostgreSQL did not start"
            elif time.monotonic() > deadline:
                problem = f"PostgreSQL was not ready after {self._start_timeout_seconds:g} s"
            else:
                time.sleep(0.02)
                continue
            raise ServerError(f"{problem}. Its log ends with:\n{self.log_tail()}")

    def _ready(self) -> bool:
        # The server's own word: the first line is its process id, the eighth its status.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self.pid)] and "".join(lines[7:]).strip() == "ready"

    def _pids(self) -> list[int]:
        return [self.pid, *children(self.pid)]

    def _dismiss_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            with contextlib.suppress(BrokenPipeError):
                watcher.communicate(b"\n")
