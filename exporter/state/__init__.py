"""What must outlive a restart, in one SQLite file: documents by scope, topic and key; tokens.

One daemon owns the file; commands read and write beside it. Everything that works on the file, or
on objects that are saved there, runs on one worker thread (`StateStore.run`).
"""

from exporter.state.store import Scope, StateStore
from exporter.state.tokens import Observation
from exporter.state.topic import DamagedError, Table, Topic

__all__ = ["DamagedError", "Observation", "Scope", "StateStore", "Table", "Topic"]
