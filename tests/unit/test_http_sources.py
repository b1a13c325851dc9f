"""What a source answers, and the state that each run ends in: never a zero, never a secret."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from exporter.redaction import redact
from exporter.run_state import RunError, State
from exporter.source_settings import SourceSettings
from exporter.sources.http import HttpSources
from exporter.sources.http_client import MOST_BYTES
from tests.support.certificates import Authority
from tests.support.http_source import HttpSource, Reply, as_json
from tests.support.queries import make_http_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.catalog import HttpQuery
    from tests.support.http_source import Request

    Answer = Callable[[Request], Reply | None]

THINGS = [{"kind": "round", "things": 3}, {"kind": "square", "things": 0.5}]
QUERY = make_http_query(timeout="50s")  # longer than anybody is held up
PROMQL = make_http_query(path=None, expression='sum by (kind) (things{env="live"})')
TOKEN = "sbp_7c1f/0a+9e=2B"


def _always(reply: Reply | None) -> Answer:
    return lambda _: reply


def _sources(source: HttpSource, **settings: Any) -> HttpSources:
    return HttpSources({"things": SourceSettings(**source.settings(**settings))})


async def _asked(
    answer: Answer | Reply, query: HttpQuery = QUERY, start: float | None = None, **settings: Any
) -> list[tuple[Any, ...]]:
    """Return the rows that a source gives to one question."""
    with HttpSource(_always(answer) if isinstance(answer, Reply) else answer) as source:
        return list((await _sources(source, **settings).fetch(query, start)).rows)


async def _failure(
    answer: Answer | Reply, query: HttpQuery = QUERY, **settings: Any
) -> tuple[State, str]:
    with pytest.raises(RunError) as raised:
        await _asked(answer, query, **settings)
    assert len(str(raised.value).splitlines()) == 1
    return raised.value.state, str(raised.value)


def _promql(result: list[Any], kind: str = "vector", **more: Any) -> Reply:
    return as_json({"status": "success", "data": {"resultType": kind, "result": result}, **more})


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


async def test_answer_becomes_rows_with_the_types_of_the_columns() -> None:
    assert await _asked(as_json(THINGS)) == [("round", 3.0), ("square", 0.5)]


async def test_rows_are_found_by_jmespath_and_parameters_are_sent() -> None:
    query = make_http_query(
        path="/v1/search",
        parameters={"q": "label:bug a&b", "since": "{deployment_start}"},
        rows="{kind: 'all', things: result.total}",
        fail_if="incomplete",
    )
    with HttpSource(_always(as_json({"result": {"total": "17"}, "incomplete": False}))) as source:
        rows = await _sources(source, url=f"{source.url}/base").fetch(query, 1761055200.0)
    assert rows.rows == [("all", 17.0)]
    (request,) = source.requests
    assert request.path == "/base/v1/search"
    assert request.parameters == {"q": "label:bug a&b", "since": "2025-10-21T14:00:00Z"}


@pytest.mark.parametrize("kind", ["prometheus", "loki"])
async def test_expression_is_an_instant_query(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    result = [{"metric": {"kind": "round"}, "value": [1.5, "3"]}]
    query = make_http_query(
        path=None,
        expression="sum by (kind) (count_over_time(a[{since_deployment}]))",
        rows="[].{kind: kind, things: value}",
    )
    with HttpSource(_always(_promql(result))) as source:
        rows = await _sources(source, kind=kind).fetch(query, now - 59.5)
    assert rows.rows == [("round", 3.0)]
    (request,) = source.requests
    assert (
        request.path
        == {
            "prometheus": "/api/v1/query",
            "loki": "/loki/api/v1/query",
        }[kind]
    )
    assert request.parameters == {"query": "sum by (kind) (count_over_time(a[60s]))"}


@pytest.mark.parametrize("body", ["[]", "null", '{"result": []}'])
async def test_empty_result_has_no_rows(body: str) -> None:
    query = make_http_query(rows="result") if "result" in body else QUERY
    assert await _asked(Reply(body), query) == []


async def test_what_is_no_number_is_not_known_and_never_zero() -> None:
    values = ["NaN", "+Inf", "-inf", "Infinity"]
    answer = as_json([{"kind": value, "things": value} for value in values])
    assert await _asked(answer) == [(value, None) for value in values]
    assert await _asked(Reply('[{"kind": "a", "things": NaN}]')) == [("a", None)]
    assert await _asked(as_json([{"kind": "a", "things": None}])) == [("a", None)]


async def test_values_are_converted_only_where_that_is_sure() -> None:
    answer = as_json(
        [
            {"kind": 9007199254740993, "things": "1.5e3"},
            {"kind": 0.5, "things": True},
            {"kind": False, "things": -2},
        ]
    )
    assert await _asked(answer) == [("9007199254740993", 1500), ("0.5", 1), ("false", -2)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"kind": "a", "things": "many"}, "column `things` is not a number"),
        ({"kind": "a", "things": ""}, "column `things` is not a number"),
        ({"kind": "a", "things": [1]}, "column `things` is not a number"),
        ({"kind": {"a": 1}, "things": 1}, "column `kind` is not text"),
        ({"kind": "a"}, "no column `things` in the rows; they have kind"),
        ("a", "rows: must find objects"),
        (3, "rows: must find objects"),
    ],
)
async def test_rows_of_another_shape_are_an_error(row: Any, told: str) -> None:
    state, detail = await _failure(as_json([row]))
    assert (state, told in detail) == (State.ERROR, True), detail


async def test_expression_on_the_wrong_types_is_an_error_that_quotes_no_data() -> None:
    query = make_http_query(rows="{kind: 'a', things: sum(@)}")
    state, detail = await _failure(as_json(["private"]), query)
    assert (state, detail) == (State.ERROR, "rows: sum() was given str")


async def test_half_of_a_surrogate_pair_can_be_served() -> None:
    ((kind, _),) = await _asked(Reply('[{"kind": "a\\ud800", "things": 1}]'))
    assert kind.encode() == b"a?"


async def test_rows_beyond_the_limit_are_counted_and_left_out() -> None:
    answer = as_json([{"kind": str(number), "things": 1} for number in range(7)])
    with HttpSource(_always(answer)) as source:
        rows = await _sources(source).fetch(make_http_query(series_limit=5), None)
    assert (len(rows.rows), rows.total) == (5, 7)


@pytest.mark.parametrize("requests", [0, "0", None, "NaN", -1])
async def test_without_requests_there_is_no_sample_of_errors(requests: object) -> None:
    query = make_http_query(denominator="requests")
    answer = [
        {"kind": "quiet", "things": 0, "requests": requests},
        {"kind": "busy", "things": 0, "requests": 9},
    ]
    assert await _asked(as_json(answer), query) == [("busy", 0.0)]
    assert await _asked(as_json(answer[:1]), query) == []


async def test_denominator_that_is_not_there_is_an_error() -> None:
    state, detail = await _failure(as_json(THINGS), make_http_query(denominator="requests"))
    assert (state, detail) == (
        State.ERROR,
        "no column `requests` in the rows; they have kind, things",
    )


async def test_ratio_and_dates_can_be_computed() -> None:
    query = make_http_query(rows="[].{kind: kind, things: ratio(bad, all)} || `[]`")
    answer = as_json([{"kind": "a", "bad": 1, "all": 4}, {"kind": "b", "bad": 1, "all": 0}])
    assert await _asked(answer, query) == [("a", 0.25), ("b", None)]
    query = make_http_query(rows="{kind: 'last', things: max([].unix_time(at))}")
    answer = as_json([{"at": "2025-10-21T14:00:00.5Z"}, {"at": "2025-10-20"}, {"at": "soon"}])
    assert await _asked(answer, query) == [("last", 1761055200.5)]


# ── failures that an answer reports ──────────────────────────────────────────────────────────────


async def test_success_with_an_error_in_its_body_is_an_error() -> None:
    query = make_http_query(fail_if="error.message || error", rows="result")
    answer = as_json({"result": [], "error": {"message": "quota\nexceeded"}})
    state, detail = await _failure(answer, query)
    assert (state, detail) == (
        State.ERROR,
        "the answer reports a failure: quota exceeded",
    )
    incomplete = make_http_query(fail_if="incomplete_results != `false`", rows="items")
    for body in ({"incomplete_results": True, "items": []}, {"message": "moved"}):
        state, detail = await _failure(as_json(body), incomplete)
        assert (state, detail) == (State.ERROR, "the answer reports a failure")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (as_json({"status": "error", "error": "parse error"}), "reports an error"),
        (_promql([], warnings=["store unavailable"]), "the result may be incomplete"),
        (_promql([], "matrix"), "not one number for each series"),
        (_promql([[1.0, "line"]], "streams"), "not one number for each series"),
        (_promql([{"metric": {}, "histogram": [1.0, {}]}]), "not one number for each series"),
        (as_json([]), "not one number for each series"),
        (as_json({"result": []}), "reports an error"),
    ],
)
async def test_other_answer_to_an_expression_is_an_error(reply: Reply, told: str) -> None:
    state, detail = await _failure(reply, PROMQL, kind="prometheus")
    assert state is State.ERROR
    assert told in detail


async def test_scalar_and_not_a_number_of_prometheus() -> None:
    query = make_http_query(path=None, expression="1", rows="[].{kind: 'a', things: value}")
    assert await _asked(_promql([1.0, "4"], "scalar"), query, kind="prometheus") == [("a", 4.0)]
    answer = _promql([{"metric": {}, "value": [1.0, "NaN"]}])
    assert await _asked(answer, query, kind="prometheus") == [("a", None)]


# ── servers that misbehave ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "state", "told"),
    [
        (Reply(status=401), State.DENIED, "the answer is 401 Unauthorized"),
        (Reply(status=403), State.DENIED, "the answer is 403 Forbidden"),
        (Reply(status=404), State.ERROR, "the answer is 404 Not Found"),
        (as_json({"m": "no"}, status=400), State.ERROR, '400 Bad Request: {"m": "no"}'),
        (Reply("<html>", status=500), State.ERROR, "the answer is 500 Internal Server Error"),
        (Reply("[]", status=204), State.ERROR, "the answer is 204 No Content"),
        (Reply(status=502), State.UNREACHABLE, "the answer is 502 Bad Gateway"),
        (Reply(status=503), State.UNREACHABLE, "the answer is 503 Service Unavailable"),
        (Reply("<html>"), State.ERROR, "the answer is not JSON"),
        (Reply(""), State.ERROR, "the answer is not JSON"),
        (Reply(b"\xff\xfe["), State.ERROR, "the answer is not JSON"),
        (Reply("[" * 100_000), State.ERROR, "the answer is not JSON"),
        (Reply("[" + "9" * 5000 + "]"), State.ERROR, "the answer is not JSON"),
        (Reply("[]", headers={"Content-Encoding": "gzip"}), State.ERROR, "is compressed"),
    ],
)
async def test_bad_answer_ends_in_its_state(reply: Reply, state: State, told: str) -> None:
    found, detail = await _failure(reply)
    assert (found, told in detail) == (state, True), detail


async def test_nobody_answers() -> None:
    # A port that was just given back may be another test's by now.
    state, detail = await _failure(as_json(THINGS), url="http://127.0.0.1:1")
    assert state is State.UNREACHABLE
    assert detail


async def test_connection_that_breaks_off_is_unreachable() -> None:
    reply = Reply(b"[]", headers={"Content-Length": "100"})
    reply.body = iter([b"[{"])
    state, _ = await _failure(reply)
    assert state is State.UNREACHABLE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    with HttpSource(_always(as_json(THINGS))) as elsewhere:
        reply = Reply(status=status, headers={"Location": f"{elsewhere.url}/things"})
        state, detail = await _failure(reply)
    assert (state, "redirects are not followed" in detail) == (State.ERROR, True)
    assert elsewhere.requests == []


@pytest.mark.parametrize("is_announced", [True, False])
async def test_answer_beyond_four_mib_is_not_read_to_its_end(is_announced: bool) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 2**18
            yield b" " * 2**18

    body = b" " * (10 * 2**20) if is_announced else endless()
    state, detail = await _failure(Reply(body))
    assert (state, "longer than 4 MiB" in detail) == (State.ERROR, True)
    assert sent < 4 * MOST_BYTES


async def test_slow_drip_ends_with_the_timeout() -> None:
    drip = (b" " for _ in range(1000))
    started = time.monotonic()
    state, detail = await _failure(
        Reply(drip, pause_seconds=0.05), make_http_query(timeout="500ms")
    )
    assert (state, detail) == (State.TIMEOUT, "no complete answer within 500ms")
    assert time.monotonic() - started < 40, "all of it would take 50 s"


async def test_silence_ends_with_the_timeout() -> None:
    state, _ = await _failure(_always(None), make_http_query(timeout="300ms"))
    assert state is State.TIMEOUT


async def test_kind_that_does_not_fit_the_question_is_an_error() -> None:
    state, detail = await _failure(as_json(THINGS), QUERY, kind="loki")
    assert (state, "which answers an `expression`" in detail) == (State.ERROR, True)
    state, detail = await _failure(as_json(THINGS), PROMQL)
    assert (state, "needs prometheus or loki" in detail) == (State.ERROR, True)


async def test_source_that_nobody_configured() -> None:
    with pytest.raises(RunError) as raised:
        await HttpSources({}).fetch(QUERY, None)
    assert raised.value.state is State.UNCONFIGURED


async def test_question_about_a_deployment_waits_for_one() -> None:
    query = make_http_query(parameters={"since": "{deployment_start}"})
    with HttpSource(_always(as_json(THINGS))) as source:
        with pytest.raises(RunError) as raised:
            await _sources(source).fetch(query, None)
        assert raised.value.state is State.ABSENT
        assert source.requests == []


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


async def _refusal(sources: HttpSources) -> RunError:
    with pytest.raises(RunError) as raised:
        await sources.fetch(QUERY, None)
    return raised.value


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"Retry-After": "120"}, 120),
        (429, {"Retry-After": "0"}, 1),
        (429, {"Retry-After": "soon"}, 60),
        (429, {"Retry-After": "999999999999"}, 86400),
        (429, {}, 60),
        (503, {"Retry-After": "30"}, 30),
        (403, {"Retry-After": "30"}, 30),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "100"}, 1),
    ],
)
async def test_source_that_wants_a_pause_gets_it(
    status: int, headers: dict[str, str], pause: float
) -> None:
    with HttpSource(_always(Reply(status=status, headers=headers))) as source:
        sources = _sources(source)
        (client,) = sources._clients.values()
        before = time.monotonic()
        assert (await _refusal(sources)).state is State.LIMITED
        assert before + pause <= client._not_before <= time.monotonic() + pause
        client._not_before += 60  # the next questions may come later than after a second
        for _ in range(2):  # by whichever question
            assert (await _refusal(sources)).state is State.LIMITED
        assert len(source.requests) == 1


async def test_pause_may_be_a_date_and_ends() -> None:
    replies = iter([Reply(status=429, headers={"Retry-After": _in(600)}), as_json(THINGS)])
    with HttpSource(lambda _: next(replies)) as source:
        sources = _sources(source)
        with pytest.raises(RunError, match="the answer is 429 Too Many Requests; not asked again"):
            await sources.fetch(QUERY, None)
        (client,) = sources._clients.values()
        assert 500 < client._not_before - time.monotonic() <= 600
        with pytest.raises(RunError, match="accepts no request for"):
            await sources.fetch(QUERY, None)
        client._not_before -= 600
        assert (await sources.fetch(QUERY, None)).total == 2
    assert len(source.requests) == 2


async def test_operator_limits_the_requests_of_a_minute() -> None:
    with HttpSource(_always(as_json(THINGS))) as source:
        sources = _sources(source, requests_per_minute=3)
        for _ in range(3):
            await sources.fetch(QUERY, None)
        with pytest.raises(RunError, match="its 3 requests_per_minute are used up") as raised:
            await sources.fetch(QUERY, None)
        assert raised.value.state is State.LIMITED
        assert len(source.requests) == 3
        (client,) = sources._clients.values()
        client._asked[0] -= 60
        await sources.fetch(QUERY, None)


async def test_source_that_hangs_takes_two_connections_and_delays_no_other() -> None:
    with HttpSource(_always(None)) as hung, HttpSource(_always(as_json(THINGS))) as well:
        sources = HttpSources(
            {
                "things": SourceSettings(**hung.settings()),
                "well": SourceSettings(**well.settings()),
            }
        )
        hanging = [asyncio.create_task(sources.fetch(QUERY, None)) for _ in range(5)]
        rows = await asyncio.wait_for(sources.fetch(make_http_query(source="well"), None), 20)
        assert rows.total == 2
        assert len(hung.requests) <= 2
        assert not any(task.done() for task in hanging)
        sources.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*hanging, return_exceptions=True), 20)
    assert {type(error) for error in ended} == {RunError}


# ── credentials and certificates ─────────────────────────────────────────────────────────────────


@contextmanager
def _token_file(folder: Path, content: str | bytes) -> Iterator[Path]:
    path = folder / "token"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    yield path


async def test_token_is_sent_and_read_again_when_it_is_rotated(tmp_path: Path) -> None:
    with (
        _token_file(tmp_path, f"{TOKEN}\n") as path,
        HttpSource(_always(as_json(THINGS))) as source,
    ):
        sources = _sources(source, token_file=path)
        await sources.fetch(QUERY, None)
        path.write_text("another-token")
        await sources.fetch(QUERY, None)
    sent = [request.headers["authorization"] for request in source.requests]
    assert sent == [f"Bearer {TOKEN}", "Bearer another-token"]
    assert redact(f"{TOKEN} another-token") == "*** ***"


async def test_basic_credentials(tmp_path: Path) -> None:
    with (
        _token_file(tmp_path, "ada:correct horse") as path,
        HttpSource(_always(as_json(THINGS))) as source,
    ):
        await _sources(source, token_file=path, auth="basic").fetch(QUERY, None)
    assert source.requests[0].headers["authorization"] == "Basic YWRhOmNvcnJlY3QgaG9yc2U="
    assert redact("correct horse, YWRhOmNvcnJlY3QgaG9yc2U=") == "***, ***"


@pytest.mark.parametrize(
    ("content", "auth", "told"),
    [
        (None, "bearer", "cannot be read: No such file or directory"),
        ("", "bearer", "must hold one line of visible ASCII"),
        ("tok-one\ntok-two", "bearer", "must hold one line of visible ASCII"),
        ("tok-\x00one", "bearer", "must hold one line of visible ASCII"),
        ("tok-ünicode", "bearer", "must hold one line of visible ASCII"),
        (b"\xff\xfe", "bearer", "must hold one line of visible ASCII"),
        ("t" * 20_000, "bearer", "must hold one line of visible ASCII"),
        ("two words", "bearer", "a token has no spaces"),
        ("no-colon", "basic", "must hold `user:password`"),
    ],
)
async def test_token_that_cannot_be_sent_is_denied_and_not_told(
    tmp_path: Path, content: str | bytes | None, auth: str, told: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    state, detail = await _failure(as_json(THINGS), token_file=path, auth=auth)
    assert (state, detail.startswith(f"token_file {path}: "), told in detail) == (
        State.DENIED,
        True,
        True,
    )
    assert not isinstance(content, str) or not content.strip() or content not in detail


async def test_source_that_tells_the_token_is_not_repeated(tmp_path: Path) -> None:
    with _token_file(tmp_path, TOKEN) as path:
        echo = f"you sent {TOKEN}"
        rows = await _asked(as_json([{"kind": echo, "things": 1}]), token_file=path)
        assert rows == [("you sent ***", 1.0)]
        query = make_http_query(fail_if="error")
        for reply in (
            as_json({"error": "x" * 190 + TOKEN}),
            as_json({"message": echo}, status=400),
            Reply("x" * 170 + TOKEN, status=500, headers={"Content-Type": "text/plain"}),
        ):
            _, detail = await _failure(reply, query, token_file=path)
            assert TOKEN[:6] not in detail


async def test_certificate_is_verified_and_the_authority_can_be_named(tmp_path: Path) -> None:
    authority, other = Authority(), Authority("Another authority")
    paths = authority.issue().write(tmp_path)
    ca_file = tmp_path / "ca.crt"
    with HttpSource(_always(as_json(THINGS)), paths) as source:
        for trusted, told in ((None, "name the authority"), (other.pem, "name the authority")):
            if trusted:
                ca_file.write_text(trusted)
            settings = {"ca_file": ca_file} if trusted else {}
            with pytest.raises(RunError, match=told) as raised:
                await _sources(source, **settings).fetch(QUERY, None)
            assert raised.value.state is State.UNREACHABLE
        assert source.requests == []
        sources = _sources(source, ca_file=ca_file)
        ca_file.write_text("no certificate")
        with pytest.raises(RunError, match="holds no certificate") as raised:
            await sources.fetch(QUERY, None)
        assert raised.value.state is State.ERROR
        ca_file.write_text(authority.pem)
        assert (await sources.fetch(QUERY, None)).total == 2, "the file was read again"


async def test_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(authority.pem)
    paths = authority.issue().write(tmp_path)
    with HttpSource(_always(as_json(THINGS)), paths) as source:
        url = source.url.replace("127.0.0.1", "127.0.0.2")
        with pytest.raises(RunError) as raised:
            await _sources(source, url=url, ca_file=ca_file).fetch(QUERY, None)
    assert raised.value.state is State.UNREACHABLE


async def test_environment_sets_neither_proxy_nor_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password secret-of-netrc\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with HttpSource(_always(as_json(THINGS))) as source:
        await _sources(source).fetch(QUERY, None)
    assert "authorization" not in source.requests[0].headers
