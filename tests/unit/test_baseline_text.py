"""What `baseline show` prints can be read by somebody who knows databases, not statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings

from exporter.render.baseline_text import baseline_text
from tests.support.baselines import BASELINE, baselines

if TYPE_CHECKING:
    from exporter.baseline.artefact import Baseline

PAGE = """\
Baseline of orders (times in UTC)

source      automatic: collected hour by hour before the deployment
window      2025-10-13 00:00:00 to 2025-10-20 00:00:00
kept        167 buckets of 1h
excluded    2025-10-14 06:00:00 to 2025-10-14 07:00:00: the server was restarted
statements  2 with 12,004 calls; 2 more left out by the limit
evicted     3 entries of pg_stat_statements
backtest    1 pages and 2 tickets for noise in 160 hours that could be judged
created     2025-10-20 02:00:00 by loom-exporter 0.3.0
database    loom (OID 16385)
server      7432109876543210987, PostgreSQL 15.18, running since 2025-09-13 00:00:00
extension   pg_stat_statements 1.10 in schema extensions
settings    compute_query_id auto, max 5000, track top, track_planning off, track_utility on

class     role            calls  mean ms  known within     1 h     6 h    24 h  left out
invoices  authenticated  12,000    2.508        ± 2.1%  ± 8.0%  ± 6.0%  ± 4.0%      +25%
refunds   anon                0

known within: standard error of the mean
1 h, 6 h, 24 h: standard deviation between windows of this length while nothing changes
left out: how much hours of incidents would have raised the mean

gauge        taken                series
orders_open  2025-10-20 00:00:00       2
"""


def test_page_says_what_the_baseline_is_and_how_far_it_can_be_trusted() -> None:
    assert baseline_text(BASELINE) == PAGE


def test_empty_baseline_has_no_empty_tables() -> None:
    window = BASELINE.window.model_copy(update={"excluded": ()})
    bare = BASELINE.model_copy(
        update={"statements": (), "classes": (), "gauges": (), "left_out": 0, "window": window}
    )
    page = baseline_text(bare)
    assert "role" not in page
    assert "gauge" not in page
    assert "excluded" not in page
    assert "left out" not in page
    assert "statements  0 with 0 calls\n" in page


@given(baselines)
@settings(max_examples=60, deadline=None)
def test_any_baseline_can_be_described_without_moving_the_cursor(baseline: Baseline) -> None:
    page = baseline_text(baseline)
    assert page.replace("\n", "").isprintable()
    assert page.splitlines()[0].endswith("(times in UTC)")


def test_names_cannot_pretend_to_be_lines() -> None:
    excluded = BASELINE.window.excluded[0].model_copy(update={"reason": "\x1b[2J\r\nfake line"})
    window = BASELINE.window.model_copy(update={"excluded": (excluded,)})
    page = baseline_text(BASELINE.model_copy(update={"window": window, "deployment": "a\nb"}))
    assert "?[2J??fake line" in page
    assert "\x1b" not in page
    assert page.startswith("Baseline of a?b ")
