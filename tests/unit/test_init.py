"""`init` writes a pack that `check` accepts, and overwrites nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from exporter.catalog import load_catalog
from exporter.catalog.expected import HistoryKind
from tests.support.commands import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", get_args(HistoryKind))
def test_what_it_writes_is_a_pack_that_check_accepts(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "My Shop"
    done = run("init", str(folder), "--history", kind)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"check --queries {folder}" in done.stdout
    checked = run("check", "--queries", str(folder))
    assert (checked.exit_code, checked.stderr) == (0, "")
    pack = load_catalog(folder)
    assert pack.deployment.name == "my-shop"
    assert pack.deployment.history is not None
    assert pack.deployment.history.kind == kind
    text = (folder / "deployment.yaml").read_text()
    assert len(text.splitlines()) <= 54
    assert max(map(len, text.splitlines())) <= 110
    assert sum("#" in line for line in text.splitlines()) >= 15, "it is explained"


def test_supabase_is_the_default(tmp_path: Path) -> None:
    assert run("init", str(tmp_path / "pack")).exit_code == 0
    history = load_catalog(tmp_path / "pack").deployment.history
    assert history is not None
    assert history.kind == "supabase"


@pytest.mark.parametrize("name", ["deployment.yaml", "orders.sql"])
def test_it_refuses_a_folder_that_has_one(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    done = run("init", str(tmp_path))
    assert done.exit_code == 2
    assert done.stderr == (
        f"loom-exporter: {tmp_path / name}: is there already; name another folder\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_what_cannot_be_written_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("init", str(tmp_path / "file" / "pack"))
    assert done.exit_code == 2
    assert done.stderr == f"loom-exporter: {tmp_path / 'file' / 'pack'}: Not a directory\n"


def test_help_has_an_example() -> None:
    assert "Example: loom-exporter init ./shop --history django" in run("init", "--help").stdout
