"""The catalogs of all databases: a folder is read once, however many databases use it."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
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
        self._lock = threading.RLock()
        self._stamps: dict[Path, tuple[float, object]] = {}
        self._read: dict[Path, tuple[object, Catalog | CatalogError]] = {}
        """What was read last, with the stamp: also what cannot be used, or not yet."""
        self._accepted: dict[Path, Catalog] = {}
        """What is used: all on one page, without a contradiction."""

    def stamp(self, folder: Path) -> object:
        """Return a value that changes with the files of a folder; see `stamp_of_folder`."""
        with self._lock:
            taken_at, stamp = self._stamps.get(folder, (float("-inf"), None))
            if time.monotonic() - taken_at >= _STAMP_SECONDS:
                stamp = stamp_of_folder(folder)
                self._stamps[folder] = time.monotonic(), stamp
            return stamp

    def load(self, folder: Path) -> Catalog:
        """Return the catalog of a folder as it is now.

        Raises:
            CatalogError: the folder cannot be used, or not beside the other folders.
        """
        with self._lock:
            catalog = self._as_it_is(folder)
            if self._accepted.get(folder) is not catalog:
                self._refuse_contradictions(folder, catalog)
                for reason in catalog.unseen:
                    _log.error(
                        "a phase can never be seen",
                        reason=reason,
                        remedy="run `loom-exporter check`",
                    )
                self._accepted[folder] = catalog
            return catalog

    @contextmanager
    def used(self, folders: Collection[Path]) -> Iterator[None]:
        """Use these folders alone from now on; if what follows fails, all is as it was before."""
        with self._lock:
            before = self._accepted
            self._accepted = {each: before[each] for each in before.keys() & set(folders)}
            try:
                yield
            except BaseException:
                self._accepted = before
                raise

    def _as_it_is(self, folder: Path) -> Catalog:
        """Read a folder, unless no file has changed since it was read."""
        stamp = stamp_of_folder(folder)
        seen, found = self._read.get(folder, (None, None))
        if found is None or seen != stamp:
            try:
                found = load_catalog(folder)
            except CatalogError as error:
                found = error
            self._read[folder] = stamp, found
        if isinstance(found, CatalogError):
            raise found.with_traceback(None)
        return found

    def _refuse_contradictions(self, folder: Path, catalog: Catalog) -> None:
        """Refuse a metric that has another type or other labels in another pack.

        All databases share one page, on which a family stands once. A pack that has changed, too,
        is taken as it is now, so that two can change at the same time.
        """
        own = catalog.metrics()
        problems = []
        for other, known in self._accepted.items():
            if other == folder:
                continue
            with suppress(CatalogError):
                known = self._as_it_is(other)
            problems += [
                f"{folder}: {name}: has another type or other labels than in {other}"
                for name, metric in known.metrics().items()
                if name in own
                and (own[name].type, own[name].labels) != (metric.type, metric.labels)
            ]
        if problems:
            raise CatalogError(problems)
