"""The catalogs of all databases: a folder is read once, however many databases use it."""

import threading
import time
from collections.abc import Collection
from pathlib import Path

import structlog

from exporter.catalog import Catalog, CatalogError, load_catalog
from exporter.reload import stamp_of_folder

_STAMP_SECONDS = 1.0
"""For so long a stamp of a folder is taken for that of now."""

_log = structlog.get_logger(__name__)


class Packs:
    """Loads catalogs, and refuses those that define a metric in two ways."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps: dict[Path, tuple[float, object]] = {}
        self._loaded: dict[Path, tuple[object, Catalog]] = {}

    def stamp(self, folder: Path) -> object:
        """Return a value that changes with the files of a folder; see `stamp_of_folder`."""
        with self._lock:
            return self._stamp(folder)

    def load(self, folder: Path) -> Catalog:
        """Return the catalog of a folder as it is now.

        Raises:
            CatalogError: the folder cannot be used, or not beside the other folders.
        """
        with self._lock:
            stamp = stamp_of_folder(folder)
            seen, catalog = self._loaded.get(folder, (None, None))
            if catalog is None or seen != stamp:
                catalog = load_catalog(folder)
                self._refuse_contradictions(folder, catalog)
                for reason in catalog.unseen:
                    _log.error(
                        "a phase can never be seen",
                        reason=reason,
                        remedy="run `loom-exporter check`",
                    )
                self._loaded[folder] = stamp, catalog
            return catalog

    def keep(self, folders: Collection[Path]) -> None:
        """Forget all other folders: no database uses them any more."""
        with self._lock:
            for known in (self._stamps, self._loaded):
                for folder in known.keys() - set(folders):
                    del known[folder]

    def _stamp(self, folder: Path) -> object:
        taken_at, stamp = self._stamps.get(folder, (float("-inf"), None))
        if time.monotonic() - taken_at >= _STAMP_SECONDS:
            stamp = stamp_of_folder(folder)
            self._stamps[folder] = time.monotonic(), stamp
        return stamp

    def _refuse_contradictions(self, folder: Path, catalog: Catalog) -> None:
        """Refuse a metric that has another type or other labels in another pack.

        All databases share one page, on which a family stands once.
        """
        own = catalog.metrics()
        problems = [
            f"{folder}: {name}: has another type or other labels than in {other}"
            for other, (_, known) in self._loaded.items()
            if other != folder
            for name, metric in known.metrics().items()
            if name in own and (own[name].type, own[name].labels) != (metric.type, metric.labels)
        ]
        if problems:
            raise CatalogError(problems)
