"""What is counted on real servers, whatever becomes of the entries of pg_stat_statements."""

from __future__ import annotations

import random
import statistics
from typing import TYPE_CHECKING, Any

import pytest

from exporter.statements.counters import Delta, advance, combine
from exporter.statements.text import identity
from tests.support.statements import WORK, crash, own_loom, reset, watching, work
from tests.support.tools import POSTGRES_VERSIONS

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import NewServer
    from tests.support.loom_database import LoomDatabase


each_version = pytest.mark.parametrize("version", POSTGRES_VERSIONS)


def test_window_has_the_calls_mean_and_variance_of_its_calls(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    source = random.Random(3)
    with watching(loom) as watcher:
        work(application, 30, 20_000)
        watcher.poll()
        for _ in range(3):
            first = watcher.read()
            single: list[Delta] = []
            for _ in range(25):
                work(application, 1, int(source.lognormvariate(8, 1.2)))
                watcher.poll()
                single.append(watcher.counted[identity(WORK) or ""][-1])
            (key,) = watcher.keys(WORK)
            window = advance(first, watcher.read()).deltas[key]
            seconds = [delta.seconds for delta in single]
            assert [delta.calls for delta in single] == [1] * 25
            assert (window.calls, window.rows) == (25, 25)
            assert window.seconds / 25 == pytest.approx(statistics.fmean(seconds), rel=1e-6)
            variance = window.squared_deviation / 25
            assert variance == pytest.approx(statistics.pvariance(seconds), rel=1e-6)
            assert combine(single).squared_deviation == pytest.approx(
                window.squared_deviation, rel=1e-6
            )


def test_blocks_and_rows_are_counted(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    query = "SELECT id FROM public.users LIMIT 3"
    with watching(loom) as watcher:
        watcher.poll()
        application.execute(query)
        application.execute(query)
        watcher.poll()
        total = watcher.total(query)
        assert (total.calls, total.rows) == (2, 6)
        assert total.blocks_hit + total.blocks_read > 0


def test_full_reset_loses_what_was_not_read_and_counts_nothing_twice(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    with watching(loom) as watcher:
        work(application, 5)
        watcher.poll()
        work(application, 4)
        watcher.poll()
        work(application, 2)  # lost
        reset(loom)
        work(application, 40, 5_000)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 4 + 40
        assert set(watcher.keys(WORK)) <= step.ended
        assert step.resets >= 1
        assert watcher.poll().resets == 0


def test_reset_of_one_entry_is_found(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    with watching(loom) as watcher:
        work(application, 1)
        watcher.poll()
        work(application, 7)
        watcher.poll()
        (key,) = watcher.keys(WORK)
        reset(loom, key)
        work(application, 3)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 7 + 3
        assert (set(step.ended), step.resets, step.evictions) == ({key}, 1, 0)
        reset(loom, key)
        assert watcher.poll().ended == {key}
        work(application, 2)
        step = watcher.poll()
        assert step.fresh == {key}
        assert watcher.total(WORK).calls == 7 + 3 + 2


@pytest.mark.parametrize("server", [17, 18], indirect=True)  # 15 cannot reset them alone
def test_reset_of_extremes_is_no_reset(
    loom: LoomDatabase, application: psycopg.Connection[Any]
) -> None:
    with watching(loom) as watcher:
        work(application, 1, 100_000)
        watcher.poll()
        with loom.connect() as connection:
            connection.execute("SELECT extensions.pg_stat_statements_reset(minmax_only => true)")
        work(application, 2)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 2
        assert step.resets == 0


@each_version
def test_eviction_counts_nothing_twice(new_server: NewServer, version: int) -> None:
    loom = own_loom(new_server, version, max="100")
    with watching(loom) as watcher, loom.connect("postgres") as application:
        work(application, 1, 50_000)
        watcher.poll()
        (key,) = watcher.keys(WORK)
        work(application, 2, 50_000)
        watcher.poll()
        for number in range(4_096):
            terms = "".join(f" {'-+'[number >> bit & 1]} 1" for bit in range(12))
            application.execute(f"SELECT 1{terms}".encode(), prepare=False)
            if number % 100 == 99 and key not in watcher.read().readings:
                break
        else:
            pytest.fail("the entry was never evicted")
        work(application, 10, 5_000)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 2 + 10
        assert key in step.ended
        assert key in step.fresh
        assert step.evictions > 0


@each_version
def test_crash_and_clean_restart_count_nothing_twice(new_server: NewServer, version: int) -> None:
    loom = own_loom(new_server, version)
    with loom.connect("postgres") as application, watching(loom) as watcher:
        work(application, 5)
        watcher.poll()
        work(application, 4)
        watcher.poll()
    remembered = watcher.polled, watcher.texts, watcher.counted
    loom.server.restart()
    with loom.connect("postgres") as application, watching(loom) as watcher:
        watcher.polled, watcher.texts, watcher.counted = remembered
        work(application, 2)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 4 + 2
        assert not step.ended
        remembered = watcher.polled, watcher.texts, watcher.counted
        work(application, 1)  # lost
        crash(loom.server, application)
    with loom.connect("postgres") as application, watching(loom) as watcher:
        watcher.polled, watcher.texts, watcher.counted = remembered
        work(application, 30, 5_000)
        step = watcher.poll()
        assert watcher.total(WORK).calls == 4 + 2 + 30
        assert set(watcher.keys(WORK)) <= step.ended
