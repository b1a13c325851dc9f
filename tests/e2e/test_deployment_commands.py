"""`baseline`, `sign-off`, `deploy` and `verify` as a person or a script runs them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from exporter.baseline.codec import BASELINE_SCHEMA, loads
from exporter.deployment.history import read_mark
from exporter.deployment.people import ACKNOWLEDGEMENTS, MARKS, NOTES, ROLLBACKS
from exporter.deployment.sign_offs import load_sign_offs
from tests.support.daemon import command
from tests.support.shipped_queries import DEPLOYMENT
from tests.support.state import opened
from tests.support.watching import MONITOR, deploy

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.loom_database import LoomDatabase

AWAY = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return settings with a state folder, and a database that is away."""
    return {
        "LOOM_EXPORTER_DATABASE_URL": AWAY,
        "LOOM_EXPORTER_DATABASE_NAME": "loom",
        "LOOM_EXPORTER_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def kept(env: dict[str, str], state: Path) -> dict[str, str]:
    """Return settings with the state of a daemon, and a database that is away."""
    with opened(state, owner=True):
        return env


@pytest.fixture
def watched(monitored: LoomDatabase, env: dict[str, str]) -> dict[str, str]:
    """Return settings with a state folder and a database."""
    return env | {"LOOM_EXPORTER_DATABASE_URL": monitored.dsn(MONITOR)}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.sqlite3"


def _assert_one_line(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Fail unless the command ended with `code` and one line on standard error."""
    assert (done.returncode, done.stdout) == (code, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("loom-exporter: ")
    assert all(part in line for part in parts), line


# ── sign-off, deploy mark ────────────────────────────────────────────────────────────────────────


def test_sign_off_needs_no_database_and_hides_no_other(kept: dict[str, str], state: Path) -> None:
    done = command(
        "sign-off", "no_critical_bugs", "--by", "Ada", "--note", "no more than ever", env=kept
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no_critical_bugs: approved by Ada\n"
    done = command("sign-off", "no_critical_bugs", "--by", "Grace", "--reject", env=kept)
    assert done.stdout == "no_critical_bugs: rejected by Grace\n"
    with opened(state, read_only=True) as store:
        given = load_sign_offs(store.scope("loom", DEPLOYMENT.name))["no_critical_bugs"]
    assert [(each.by, each.approved) for each in given] == [("Ada", True), ("Grace", False)]


def test_what_people_say_is_kept_with_their_names(kept: dict[str, str], state: Path) -> None:
    for arguments in (
        ("rolled-back", "mfa", "--by", "Ada", "--reason", "logins fail"),
        ("note", "the cache was cold", "--by", "Grace"),
        ("mark", "--deployed-by", "Eve"),
    ):
        done = command("deploy", *arguments, env=kept)
        assert (done.returncode, done.stderr) == (0, ""), done
    with opened(state, read_only=True) as store:
        people = store.scope("loom", DEPLOYMENT.name)
        (rollback,) = ROLLBACKS.load(people).values()
        (note,) = NOTES.load(people).values()
        (mark,) = MARKS.load(people).values()
    assert (rollback.phase, rollback.by, rollback.reason) == ("mfa", "Ada", "logins fail")
    assert (note.by, note.text, mark.by) == ("Grace", "the cache was cold", "Eve")
    unknown = ("deploy", "rolled-back", "mfaa", "--by", "Ada", "--reason", "x")
    _assert_one_line(command(*unknown, env=kept), 2, "no phase mfaa", "security, rls, mfa")


def test_word_that_no_daemon_would_hear_is_2_and_says_where_it_looks(
    env: dict[str, str], state: Path, tmp_path: Path
) -> None:
    results = tmp_path / "rls.tap"
    results.write_text("1..1\nok 1\n")
    for arguments in (
        ["sign-off", "no_critical_bugs", "--by", "Ada"],
        ["record", "rls", str(results)],
        ["deploy", "mark"],
        ["deploy", "acknowledge", "--by", "Ada", "--reason", "x"],
        ["deploy", "rolled-back", "mfa", "--by", "Ada", "--reason", "x"],
        ["deploy", "note", "x", "--by", "Ada"],
    ):
        done = command(*arguments, env=env)
        _assert_one_line(done, 2, str(state), "LOOM_EXPORTER_STATE_DIR", "start that first")
        assert not state.exists()


def test_acknowledgement_needs_no_database_and_none_hides_another(
    kept: dict[str, str], state: Path
) -> None:
    for name in ("Ada", "Grace"):
        given = ("deploy", "acknowledge", "--by", name, "--reason", "an index by hand")
        done = command(*given, env=kept)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{DEPLOYMENT.name}: schema accepted by {name}: an index by hand\n"
    with opened(state, read_only=True) as store:
        given_by = ACKNOWLEDGEMENTS.load(store.scope("loom", DEPLOYMENT.name)).values()
    assert sorted(each.by for each in given_by) == ["Ada", "Grace"]
    refused = command("deploy", "acknowledge", "--by", "Ada", "--reason", " ", env=kept)
    assert refused.returncode == 2
    assert "reason: must not be empty" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["no_critical_bug", "--by", "Ada"],
            ["no_critical_bug: ", "did you mean no_critical_bugs?"],
        ),
        (["performance", "--by", "Ada"], ["performance: ", "exporter judges", "verify"]),
        (["no_critical_bugs", "--by", " "], ["by: must not be empty"]),
        (["no_critical_bugs", "--by", "Ada\nGrace"], ["by: ", "one line"]),
        (["no_critical_bugs", "--by", "Ada", "--note", "x" * 501], ["note: must have at most 500"]),
    ],
)
def test_sign_off_that_cannot_be_taken_is_2_and_nothing_is_written(
    arguments: list[str], parts: list[str], env: dict[str, str], state: Path
) -> None:
    _assert_one_line(command("sign-off", *arguments, env=env), 2, *parts)
    assert not state.exists()


@pytest.mark.parametrize("at", ["now", "2025-10-21T14:00Z", "2025-10-21T16:00+02:00"])
def test_mark_needs_no_database_and_is_kept(at: str, kept: dict[str, str], state: Path) -> None:
    began = datetime.now(UTC).timestamp()
    done = command("deploy", "mark", "--at", at, env=kept)
    assert (done.returncode, done.stderr) == (0, "")
    with opened(state, read_only=True) as store:
        marked_at = read_mark(store.scope("loom", DEPLOYMENT.name))
    assert marked_at is not None
    if at == "now":
        assert began <= marked_at <= datetime.now(UTC).timestamp()
    else:
        assert marked_at == datetime(2025, 10, 21, 14, tzinfo=UTC).timestamp()
        assert "2025-10-21 14:00:00 UTC" in done.stdout


@pytest.mark.parametrize(
    ("at", "parts"),
    [
        ((datetime.now(UTC) + timedelta(days=1)).isoformat(), ["lies in the future", "UTC"]),
        ("2025-10-21T14:00", ["zone"]),
        ("yesterday", ["date and time with a zone"]),
        ("", ["date and time with a zone"]),
    ],
    ids=["future", "no zone", "words", "nothing"],
)
def test_mark_at_no_time_that_was_is_2(
    at: str, parts: list[str], env: dict[str, str], state: Path
) -> None:
    _assert_one_line(command("deploy", "mark", "--at", at, env=env), 2, "--at: ", *parts)
    assert not state.exists()


def test_state_that_cannot_be_written_is_1(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    for arguments in (["sign-off", "no_critical_bugs", "--by", "Ada"], ["deploy", "mark"]):
        _assert_one_line(command(*arguments, env=env), 1, "state: ", str(tmp_path / "state"))


# ── baseline ─────────────────────────────────────────────────────────────────────────────────────


def test_baseline_goes_from_capture_to_file_to_another_state(
    monitored: LoomDatabase, watched: dict[str, str], tmp_path: Path
) -> None:
    with monitored.connect("authenticator") as application:
        application.execute("SET ROLE service_role")
        for _ in range(7):
            application.execute("SELECT count(*) FROM public.resource_collections")
    done = command("baseline", "capture", "--since-reset", env=watched)
    assert (done.returncode, done.stderr) == (0, "")
    assert "since_reset: everything in pg_stat_statements" in done.stdout
    (row,) = [line.split() for line in done.stdout.splitlines() if "resource_library" in line]
    assert row[:3] == ["resource_library", "service_role", "7"]
    assert command("baseline", "show", env=watched).stdout == done.stdout
    shown = command("baseline", "show", "--format", "json", env=watched)
    assert json.loads(shown.stdout)["schema"] == BASELINE_SCHEMA
    printed = command("baseline", "export", env=watched).stdout
    file = tmp_path / "baseline.json"
    assert command("baseline", "export", str(file), env=watched).returncode == 0
    assert file.read_text() == printed == shown.stdout
    other = watched | {"LOOM_EXPORTER_STATE_DIR": str(tmp_path / "other")}
    done = command("baseline", "import", str(file), env=other)
    assert (done.returncode, done.stderr) == (0, "")
    assert command("baseline", "export", env=other).stdout == printed
    assert loads(printed).source == "since_reset"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["either --for", "--since-reset"]),
        (["--for", "10m", "--since-reset"], ["either --for", "--since-reset"]),
        (["--for", "5s"], ["--for: ", "at least 60s"]),
        (["--for", "soon"], ["--for: "]),
    ],
)
def test_capture_of_no_time_is_2(
    arguments: list[str], parts: list[str], env: dict[str, str], state: Path
) -> None:
    _assert_one_line(command("baseline", "capture", *arguments, env=env), 2, *parts)
    assert not state.exists()


def test_capture_after_the_deployment_has_begun_is_1_and_keeps_what_is_there(
    monitored: LoomDatabase, watched: dict[str, str], state: Path
) -> None:
    assert command("baseline", "capture", "--since-reset", env=watched).returncode == 0
    kept = command("baseline", "export", env=watched).stdout
    deploy(monitored, "healthy")
    done = command("baseline", "capture", "--since-reset", "--replace", env=watched)
    _assert_one_line(done, 1, "the deployment has begun")
    assert command("baseline", "export", env=watched).stdout == kept


def test_baseline_is_replaced_only_when_asked_and_can_be_dropped(
    monitored: LoomDatabase, watched: dict[str, str], tmp_path: Path
) -> None:
    capture = ("baseline", "capture", "--since-reset")
    assert command(*capture, env=watched).returncode == 0
    kept = command("baseline", "export", env=watched).stdout
    file = tmp_path / "baseline.json"
    file.write_text(kept)
    for arguments in (capture, ("baseline", "import", str(file))):
        _assert_one_line(command(*arguments, env=watched), 1, "already", "--replace")
        assert command("baseline", "export", env=watched).stdout == kept
        assert command(*arguments, "--replace", env=watched).returncode == 0
        kept = command("baseline", "export", env=watched).stdout
    assert command("baseline", "discard", env=watched).returncode == 0
    _assert_one_line(command("baseline", "discard", env=watched), 1, "there is none")


@pytest.mark.parametrize("name", ["show", "export"])
def test_without_a_baseline_there_is_nothing_to_show(
    name: str, env: dict[str, str], state: Path
) -> None:
    done = command("baseline", name, env=env)
    _assert_one_line(done, 1, "there is none", str(state), "baseline capture")
    assert not state.parent.exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("nonsense", ["not JSON", "baseline export", "(malformed)"]),
        ("{}", ["not one of schema", "(malformed)"]),
        ("", ["cut off", "(truncated)"]),
        ("\udcff", ["not UTF-8"]),
    ],
)
def test_import_of_nonsense_is_2_and_asks_no_database(
    content: str, parts: list[str], env: dict[str, str], tmp_path: Path, state: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content.encode(errors="surrogateescape"))
    _assert_one_line(command("baseline", "import", str(file), env=env), 2, str(file), *parts)
    assert not state.exists()


def test_file_that_cannot_be_read_or_written_is_2(
    watched: dict[str, str], env: dict[str, str], tmp_path: Path
) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        done = command("baseline", "import", str(path), env=env)
        _assert_one_line(done, 2, str(path), "cannot be read")
    assert command("baseline", "capture", "--since-reset", env=watched).returncode == 0
    for path in (tmp_path, tmp_path / "no folder" / "baseline.json"):
        _assert_one_line(command("baseline", "export", str(path), env=env), 2, str(path))


def test_capture_needs_the_database(env: dict[str, str]) -> None:
    _assert_one_line(command("baseline", "capture", "--since-reset", env=env), 4, "127.0.0.1")


# ── verify ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["0", "1"])
def test_pipeline_says_what_inconclusive_is_to_it(watched: dict[str, str], code: str) -> None:
    done = command("verify", "--inconclusive-as", code, env=watched)
    assert done.returncode == int(code)
    assert done.stdout.startswith("NOT DEPLOYED YET: ")
