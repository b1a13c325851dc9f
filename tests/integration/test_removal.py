"""What deploy/README.md says removes the monitoring role, removes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.database.roles import ROLE
from exporter.demo.database import OWNER
from tests.support.watching import install_grants

if TYPE_CHECKING:
    from tests.support.loom_database import LoomDatabase

README = Path(__file__).parents[2] / "deploy" / "README.md"


def test_role_and_its_functions_are_gone(loom: LoomDatabase) -> None:
    install_grants(loom)
    (sql,) = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    with loom.connect(OWNER) as connection:
        connection.execute(sql)
        left = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = %s), to_regnamespace(%s)"
        assert connection.execute(left, (ROLE, ROLE)).fetchone() == (0, None)
