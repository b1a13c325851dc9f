"""The dashboard for whoever asks whether the data are right, and who can see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.board import Board
from grafana.library import library
from grafana.mfa import mfa
from grafana.policies import policies
from grafana.security import audit_log, security

if TYPE_CHECKING:
    from exporter.catalog import Deployment

UID = "loom-integrity-security"


def integrity_security_board(deployment: Deployment) -> Board:
    """Return the dashboard about data, policies and rights."""
    return Board(
        UID,
        "Loom / Integrity and security",
        "Whether the deployment left the data right, and who can read and call what.",
        [*mfa(deployment), *library(deployment), policies(), security(), audit_log()],
        since="now-24h",
    )
