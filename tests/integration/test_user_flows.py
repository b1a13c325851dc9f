"""The flows that are shipped in deploy/flows, against a server of ours and real policies."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyotp
import pytest

from exporter.sources.suite_files import parse_suite_file
from tests.support.daemon import environment
from tests.support.impersonation import user
from tests.support.kustomize import ROOT
from tests.support.marks import only_18
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.supabase import API_KEY, Supabase, User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

pytestmark = only_18

FLOWS = ROOT / "deploy" / "flows"
COACH = User(user(4), "coach4@loom.example", "pW-coach-81xQ")
CLIENT = User(user(41), "client41@loom.example", "pW-client-72yR")
MFA = User(user(42), "client42@loom.example", "pW-mfa-93zS", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
TABLES = (
    "file_uploads",
    "file_shares",
    "resource_collections",
    "resource_collection_items",
    "resource_client_progress",
)


@pytest.fixture
def supabase(deployed: LoomDatabase) -> Iterator[Supabase]:
    """Return a project after a deployment that went well."""
    with Supabase(deployed, (COACH, CLIENT, MFA)) as supabase:
        yield supabase


class Run:
    """The flows, run to their end as a pipeline would."""

    def __init__(self, supabase: Supabase, folder: Path, *arguments: str, **env: str) -> None:
        self.report = folder / "flows.xml"
        given = {"LOOM_FLOWS_URL": supabase.url, "LOOM_FLOWS_KEY": API_KEY}
        for name, each in (("COACH", COACH), ("CLIENT", CLIENT), ("MFA", MFA)):
            given[f"LOOM_FLOWS_{name}_EMAIL"] = each.email
            given[f"LOOM_FLOWS_{name}_PASSWORD"] = each.password
        given["LOOM_FLOWS_MFA_SECRET"] = MFA.totp_secret
        self.done = subprocess.run(
            [sys.executable, "-m", "pytest", FLOWS, f"--junitxml={self.report}", *arguments],
            env=environment({**given, **env}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.output = self.done.stdout + self.done.stderr

    @property
    def counts(self) -> tuple[int, int]:
        """The tests that passed, and the others, as `record` reads them from the report."""
        counts = parse_suite_file(self.report, self.report.read_bytes(), None)
        return counts.passed, counts.failed

    def tells(self, supabase: Supabase) -> set[str]:
        """Return what of the secrets is in the output or in the report."""
        report = self.report.read_text() if self.report.exists() else ""
        secrets = [API_KEY, MFA.totp_secret, *supabase.given_out]
        secrets += [each.password for each in supabase.users]
        return {secret for secret in secrets if secret in self.output + report}


def _counts(loom: LoomDatabase) -> list[int]:
    with loom.connect() as superuser:
        found: list[Any] = [
            superuser.execute(f"SELECT count(*) FROM public.{table}".encode()).fetchone()
            for table in TABLES
        ]
    return [count for (count,) in found]


def test_all_flows_pass_and_leave_nothing_behind(supabase: Supabase, tmp_path: Path) -> None:
    before = _counts(supabase.loom)
    run = Run(supabase, tmp_path)
    assert run.done.returncode == 0, run.output
    assert run.counts == (DEPLOYMENT.suites["user_flows"].planned, 0)
    assert _counts(supabase.loom) == before
    assert "POST /rest/v1/resource_client_progress" in supabase.requests
    assert run.tells(supabase) == set()
    assert supabase.tokens == {}, "everybody is logged out"


FAULTS = {
    "progress refused": (
        'DROP POLICY "Clients can create their own progress" ON public.resource_client_progress',
        "test_client_tracks_progress",
        "POST /rest/v1/resource_client_progress: 403 (42501)",
    ),
    "coaches see no progress": (
        'DROP POLICY "Coaches can view progress for their resources"'
        " ON public.resource_client_progress",
        "test_client_tracks_progress",
        "not enough values to unpack",
    ),
    "clients see all items": (
        'ALTER POLICY "Clients can view shared collection items"'
        " ON public.resource_collection_items USING (true)",
        "test_client_views_shared_resource",
        "what is shared, and nothing else",
    ),
    "no coach can add": (
        "REVOKE INSERT ON public.resource_collection_items FROM authenticated",
        "test_coach_creates_collection_and_adds_file",
        "POST /rest/v1/resource_collection_items: 403 (42501)",
    ),
}


@pytest.mark.parametrize(("fault", "flow", "told"), FAULTS.values(), ids=FAULTS)
def test_flow_that_fails_says_why_and_leaves_nothing_behind(
    supabase: Supabase, tmp_path: Path, fault: str, flow: str, told: str
) -> None:
    supabase.loom.run(fault)
    before = _counts(supabase.loom)
    run = Run(supabase, tmp_path)
    assert run.done.returncode == 1, run.output
    assert re.search(rf"FAILED .*::{flow}\b", run.output), run.output
    assert told in run.output
    assert _counts(supabase.loom) == before
    assert run.tells(supabase) == set()


def test_what_cannot_be_taken_away_is_told(supabase: Supabase, tmp_path: Path) -> None:
    supabase.loom.run(
        "ALTER TABLE public.resource_client_progress"
        " DROP CONSTRAINT resource_client_progress_file_id_fkey"
    )
    run = Run(supabase, tmp_path, "-k", "progress")
    assert run.done.returncode == 1
    assert "left behind: 1 row of resource_client_progress for file" in run.output


def test_what_a_run_that_was_killed_left_is_taken_away(supabase: Supabase, tmp_path: Path) -> None:
    before = _counts(supabase.loom)
    supabase.loom.run(
        "INSERT INTO public.resource_collections (coach_id, name, created_at) VALUES"
        f" ('{COACH.id}', 'loom-flow-old', now() - interval '2 hours'),"
        f" ('{COACH.id}', 'loom-flow-of-a-run-beside-us', now())"
    )
    assert Run(supabase, tmp_path).done.returncode == 0
    after = [
        count + (table == "resource_collections")
        for table, count in zip(TABLES, before, strict=True)
    ]
    assert _counts(supabase.loom) == after


@pytest.mark.parametrize(
    ("users", "flow", "told"),
    [
        (
            (COACH, CLIENT, replace(MFA, totp_secret=pyotp.random_base32())),
            "test_login_with_mfa",
            "/verify: 422 (mfa_verification_failed)",
        ),
        (
            (COACH, CLIENT, replace(MFA, totp_secret="")),
            "test_login_with_mfa",
            "the user has 0 verified TOTP factors, not one",
        ),
        (
            (COACH, replace(CLIENT, password="another"), MFA),
            "test_login_without_mfa",
            "POST /auth/v1/token: 400 (invalid_credentials)",
        ),
        (
            (COACH, replace(CLIENT, totp_secret=MFA.totp_secret), MFA),
            "test_login_without_mfa",
            "the test user has a second factor",
        ),
    ],
)
def test_login_that_fails_says_why(
    supabase: Supabase, tmp_path: Path, users: tuple[User, ...], flow: str, told: str
) -> None:
    supabase.users = users
    run = Run(supabase, tmp_path, "-k", flow)
    assert run.done.returncode == 1, run.output
    assert told in run.output
    assert run.tells(supabase) == set()


def test_server_that_is_broken_fails_the_flow(supabase: Supabase, tmp_path: Path) -> None:
    supabase.broken = {"GET /rest/v1/resource_collection_items": 500}
    before = _counts(supabase.loom)
    run = Run(supabase, tmp_path)
    assert run.counts == (3, 2)
    assert "GET /rest/v1/resource_collection_items: 500" in run.output
    assert _counts(supabase.loom) == before


def test_setting_that_is_missing_is_named_and_nothing_is_skipped(
    supabase: Supabase, tmp_path: Path
) -> None:
    run = Run(supabase, tmp_path, LOOM_FLOWS_MFA_SECRET="")
    assert run.done.returncode == 4, run.output
    assert "LOOM_FLOWS_MFA_SECRET (or LOOM_FLOWS_MFA_SECRET_FILE) is not set" in run.output
    (secret := tmp_path / "secret").write_text(MFA.totp_secret + "\n")
    run = Run(supabase, tmp_path, LOOM_FLOWS_MFA_SECRET="", LOOM_FLOWS_MFA_SECRET_FILE=str(secret))
    assert run.done.returncode == 0, run.output
    assert run.tells(supabase) == set()
