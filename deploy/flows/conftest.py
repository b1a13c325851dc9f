"""Where the flows run, who the test users are, and that neither passwords nor tokens are shown."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from .client import FlowError, Project, Session

PREFIX = "loom-flow-"
"""How the names of all that a flow makes begin."""

VARIABLES = {
    "LOOM_FLOWS_URL": "address of the project, such as https://abcdefghijklmnop.supabase.co",
    "LOOM_FLOWS_KEY": "its publishable (anon) key",
    "LOOM_FLOWS_COACH_EMAIL": "a test user who is a coach, without MFA",
    "LOOM_FLOWS_COACH_PASSWORD": "",
    "LOOM_FLOWS_CLIENT_EMAIL": "a test user who is a client of that coach, without MFA",
    "LOOM_FLOWS_CLIENT_PASSWORD": "",
    "LOOM_FLOWS_MFA_EMAIL": "a test user with one factor of TOTP",
    "LOOM_FLOWS_MFA_PASSWORD": "",
    "LOOM_FLOWS_MFA_SECRET": "the secret of that factor, in base32",
}

_HIDDEN = ("KEY", "PASSWORD", "SECRET")
_secrets: set[str] = set()


def read_settings() -> dict[str, str]:
    """Return the settings by their names, from variables or from the files that `…_FILE` names.

    Raises:
        UsageError: one is not set, or its file cannot be read.
    """
    found: dict[str, str] = {}
    for name, what in VARIABLES.items():
        text = os.environ.get(name, "")
        if path := os.environ.get(f"{name}_FILE"):
            try:
                text = Path(path).read_text(encoding="utf-8")
            except OSError as error:
                raise pytest.UsageError(f"{name}_FILE: {path}: {error.strerror}") from None
        found[name.removeprefix("LOOM_FLOWS_")] = text.strip()
        if not text.strip():
            told = f": {what}" if what else ""
            raise pytest.UsageError(f"{name} (or {name}_FILE) is not set{told}")
        if name.endswith(_HIDDEN):
            _secrets.add(text.strip())
    return found


@pytest.fixture(scope="session")
def settings() -> dict[str, str]:
    """Return the settings."""
    return read_settings()


def pytest_sessionstart() -> None:
    """End at once, with one line, if a setting is missing: a flow is never skipped."""
    read_settings()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hide secrets in what is told of a test, here and in JUnit XML."""
    report = yield
    if report.failed:
        report.longrepr = _without_secrets(report.longreprtext)
    report.sections = [(name, _without_secrets(text)) for name, text in report.sections]
    return report


def _without_secrets(text: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@pytest.fixture(scope="session")
def project(settings: dict[str, str]) -> Iterator[Project]:
    """Return the project; everybody is logged out at the end."""
    project = Project(settings["URL"], settings["KEY"], _secrets.add)
    yield project
    project.close()


@dataclass
class Stage:
    """What one flow works with; all that it makes is taken away again, also when it fails."""

    project: Project
    coach: Session
    client: Session
    _undo: ExitStack = field(default_factory=ExitStack)

    def make_file(self) -> str:
        """Have the coach register a file of the library; return its id."""
        file_id = str(uuid.uuid4())
        name = f"{PREFIX}{file_id}.txt"
        self._undo.callback(self._remove_file, file_id)
        row = {
            "id": file_id,
            "user_id": self.coach.user_id,
            "filename": name,
            "original_filename": name,
            "storage_path": f"{PREFIX}{file_id}/{name}",
            "file_type": "text/plain",
            "file_size": 1,
            "is_library_resource": True,
        }
        self.project.insert(self.coach, "file_uploads", row)
        return file_id

    def make_collection(self) -> str:
        """Have the coach create a collection; return its id."""
        collection_id = str(uuid.uuid4())
        self._undo.callback(
            partial(self.project.delete, self.coach, "resource_collections"),
            id=f"eq.{collection_id}",
        )
        row = {"id": collection_id, "coach_id": self.coach.user_id, "name": PREFIX + collection_id}
        self.project.insert(self.coach, "resource_collections", row)
        return collection_id

    def add_to_collection(self, collection_id: str, file_id: str) -> None:
        """Have the coach add a file; the item goes with its collection."""
        row = {"collection_id": collection_id, "file_id": file_id}
        self.project.insert(self.coach, "resource_collection_items", row)

    def share(self, file_id: str) -> None:
        """Have the coach share a file with the client; the share goes with the file."""
        row = {
            "file_id": file_id,
            "shared_by": self.coach.user_id,
            "shared_with": self.client.user_id,
        }
        self.project.insert(self.coach, "file_shares", row)

    def clean_up(self) -> None:
        """Take everything away, the latest first; one that fails does not keep the others."""
        self._undo.close()

    def _remove_file(self, file_id: str) -> None:
        """Remove a file; shares, items and progress go with it, as their foreign keys say."""
        self.project.delete(self.coach, "file_uploads", id=f"eq.{file_id}")
        for user, table in ((self.client, "resource_client_progress"), (self.coach, "file_shares")):
            if left := self.project.select(user, table, file_id=f"eq.{file_id}"):
                raise FlowError(f"left behind: {len(left)} row of {table} for file {file_id}")


@pytest.fixture
def stage(project: Project, coach: Session, client: Session) -> Iterator[Stage]:
    """Return a stage that is cleared afterwards, whatever becomes of the test."""
    stage = Stage(project, coach, client)
    yield stage
    stage.clean_up()


LogIn = Callable[[str], Session]


@pytest.fixture(scope="session")
def log_in(project: Project, settings: dict[str, str]) -> LogIn:
    """Return a function that logs in one of the test users with the password."""

    def log_in(who: str) -> Session:
        return project.log_in(settings[f"{who}_EMAIL"], settings[f"{who}_PASSWORD"])

    return log_in


@pytest.fixture(scope="session")
def coach(log_in: LogIn, project: Project) -> Session:
    """Return the coach, logged in; what an earlier run that was killed has left is removed."""
    coach = log_in("COACH")
    before = f"lt.{(datetime.now(UTC) - timedelta(hours=1)).isoformat()}"
    for table, column in (("resource_collections", "name"), ("file_uploads", "filename")):
        project.delete(coach, table, **{column: f"like.{PREFIX}*", "created_at": before})
    return coach


@pytest.fixture(scope="session")
def client(log_in: LogIn) -> Session:
    """Return the client, logged in."""
    return log_in("CLIENT")
