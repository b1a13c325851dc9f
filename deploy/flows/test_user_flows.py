"""The flows of the first hour: login with and without MFA, a collection, its file, progress."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Project
    from .conftest import LogIn, Stage


def test_login_without_mfa(project: Project, log_in: LogIn) -> None:
    session = log_in("CLIENT")
    assert not session.factors, "the test user has a second factor"
    assert session.level == "aal1"
    assert project.whoami(session) == session.user_id


def test_login_with_mfa(project: Project, log_in: LogIn, settings: dict[str, str]) -> None:
    session = log_in("MFA")
    assert session.level == "aal1", "the password alone must not be enough"
    session = project.answer_challenge(session, settings["MFA_SECRET"])
    assert session.level == "aal2"
    assert project.whoami(session) == session.user_id


def test_coach_creates_collection_and_adds_file(stage: Stage) -> None:
    file_id, collection_id = stage.make_file(), stage.make_collection()
    stage.add_to_collection(collection_id, file_id)
    items = stage.project.select(
        stage.coach, "resource_collection_items", collection_id=f"eq.{collection_id}"
    )
    assert [item["file_id"] for item in items] == [file_id]


def test_client_views_shared_resource(stage: Stage) -> None:
    shared, kept, collection_id = stage.make_file(), stage.make_file(), stage.make_collection()
    for file_id in (shared, kept):
        stage.add_to_collection(collection_id, file_id)
    stage.share(shared)
    seen = stage.project.select(
        stage.client, "resource_collection_items", collection_id=f"eq.{collection_id}"
    )
    assert [item["file_id"] for item in seen] == [shared], "what is shared, and nothing else"
    (collection,) = stage.project.select(
        stage.client, "resource_collections", id=f"eq.{collection_id}"
    )
    assert collection["id"] == collection_id
    (file,) = stage.project.select(stage.client, "file_uploads", id=f"eq.{shared}")
    assert file["id"] == shared


def test_client_tracks_progress(stage: Stage) -> None:
    file_id = stage.make_file()
    stage.share(file_id)
    row = {
        "file_id": file_id,
        "client_id": stage.client.user_id,
        "viewed_at": datetime.now(UTC).isoformat(),
    }
    stage.project.insert(stage.client, "resource_client_progress", row)
    for user in (stage.client, stage.coach):
        (found,) = stage.project.select(user, "resource_client_progress", file_id=f"eq.{file_id}")
        assert found["client_id"] == stage.client.user_id
        assert found["viewed_at"]
