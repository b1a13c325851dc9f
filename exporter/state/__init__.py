"""What must outlive a restart, in one SQLite file.

When each token of a `change_timestamp` metric last changed, and documents that other parts keep
here, by topic. One daemon owns the file; commands read and write beside it.
"""

from exporter.state.store import StateStore
from exporter.state.tokens import Observation

__all__ = ["Observation", "StateStore"]
