"""Who is let in, how often, and with which headers: the configuration in force decides."""

from __future__ import annotations

import asyncio
import base64
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.access import next_request_at, nobodys_hash
from exporter.web.login_queue import MOST_WAITING
from exporter.web.routes import HEALTH_PATHS, Health, build_app
from exporter.web.web_config import RateLimit, WebConfig
from tests.support.components import assemble
from tests.support.observers import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

COST = 4
PASSWORD = "correct: horse ẞ"


def _hashed(password: str, cost: int = COST) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


ALICE = {"alice": _hashed(PASSWORD)}


@dataclass
class InForce:
    """The configuration that a test can change while the application runs."""

    config: WebConfig

    def change(self, **sections: object) -> None:
        self.config = WebConfig.model_validate(sections)


@pytest.fixture
def in_force() -> InForce:
    return InForce(WebConfig())


@pytest.fixture
async def client(tmp_path: Path, in_force: InForce) -> AsyncIterator[httpx.AsyncClient]:
    parts = assemble(tmp_path, [])
    health = Health(is_alive=lambda: True, is_ready=lambda: True)
    app = build_app(parts.exposition, health, parts.database_pages, lambda: in_force.config)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        yield client


async def _status(
    client: httpx.AsyncClient, user: str, password: str | bytes, path: str = "/metrics"
) -> int:
    secret = password.encode() if isinstance(password, str) else password
    credentials = base64.b64encode(user.encode() + b":" + secret).decode()
    answer = await client.get(path, headers={"Authorization": f"Basic {credentials}"})
    return answer.status_code


async def test_nobody_is_asked_for_a_password_where_there_are_no_users(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/nothing", "/-/", "/-/healthy/"])
async def test_every_other_path_needs_a_password(
    client: httpx.AsyncClient, in_force: InForce, path: str
) -> None:
    in_force.change(basic_auth_users=ALICE)
    answer = await client.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Basic"
    assert await _status(client, "alice", PASSWORD, path) != 401


async def test_health_is_open_to_everybody_as_often_as_they_like(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users=ALICE, rate_limit={"interval": "1h", "burst": 1})
    for _ in range(3):
        for path in HEALTH_PATHS:
            assert (await client.get(path)).status_code == 200


async def test_only_the_password_of_that_user_lets_in(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users={**ALICE, "bob": _hashed("other")})
    for _ in range(2):  # compared, and then remembered
        assert await _status(client, "alice", PASSWORD) == 200
        assert await _status(client, "bob", "other") == 200
        for user, password in [
            ("alice", "other"),
            ("bob", PASSWORD),
            ("Alice", PASSWORD),
            ("", PASSWORD),
            ("alice", ""),
            ("alice", ALICE["alice"]),
            ("carol", PASSWORD),
            ("alice", PASSWORD + "\0"),
        ]:
            assert await _status(client, user, password) == 401, (user, password)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !",
        "Basic YWxpY2U=",
        "Bearer YTpi",
        "Basic /////w==",
        "Basic é",
    ],
)
async def test_what_is_no_password_lets_nobody_in(
    client: httpx.AsyncClient, in_force: InForce, authorization: bytes
) -> None:
    in_force.change(basic_auth_users=ALICE)
    headers = httpx.Headers({b"Authorization": authorization}, encoding="latin-1")
    assert (await client.get("/metrics", headers=headers)).status_code == 401


async def test_bytes_that_are_no_text_are_compared_as_they_are(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    hashed = bcrypt.hashpw(b"\xff\xfe", bcrypt.gensalt(COST)).decode()
    in_force.change(basic_auth_users={"alice": hashed})
    assert await _status(client, "alice", b"\xff\xfe") == 200
    assert await _status(client, "alice", b"\xff") == 401


async def test_of_a_long_password_the_part_counts_that_was_hashed(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users={"alice": _hashed("x" * 72)})
    assert await _status(client, "alice", "x" * 100) == 200
    assert await _status(client, "alice", "x" * 71) == 401


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
async def test_hash_of_each_kind_is_understood(
    client: httpx.AsyncClient, in_force: InForce, version: str
) -> None:
    in_force.change(basic_auth_users={"alice": ALICE["alice"].replace("2b", version, 1)})
    assert await _status(client, "alice", PASSWORD) == 200


async def test_password_that_was_changed_lets_in_no_more(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users=ALICE)
    assert await _status(client, "alice", PASSWORD) == 200
    in_force.change(basic_auth_users={"alice": _hashed("new")})
    assert await _status(client, "alice", PASSWORD) == 401
    assert await _status(client, "alice", "new") == 200
    in_force.change(basic_auth_users={"bob": _hashed("new")})
    assert await _status(client, "alice", "new") == 401


@pytest.mark.timing
async def test_unknown_user_is_refused_in_the_time_of_a_known_one(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users={"alice": _hashed(PASSWORD, cost=9)})
    seconds: dict[str, list[float]] = {"alice": [], "nobody": []}
    for _ in range(15):
        for user, times in seconds.items():
            started = time.perf_counter()
            assert await _status(client, user, "wrong") == 401
            times.append(time.perf_counter() - started)
    ratio = statistics.median(seconds["nobody"]) / statistics.median(seconds["alice"])
    assert 0.6 < ratio < 1.6


def test_unknown_user_costs_as_much_as_the_dearest_known_one() -> None:
    nobody = nobodys_hash({"a": _hashed("x", 4), "b": _hashed("x", 6), "c": _hashed("x", 5)})
    assert nobody.startswith("$2b$06$")
    assert not bcrypt.checkpw(b"x", nobody.encode())


@pytest.mark.timing
async def test_password_that_was_right_once_is_not_compared_again(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users={"alice": _hashed(PASSWORD, cost=11)})
    started = time.perf_counter()
    assert await _status(client, "alice", PASSWORD) == 200
    first = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(5):
        assert await _status(client, "alice", PASSWORD) == 200
    assert (time.perf_counter() - started) / 5 < first / 3


@pytest.mark.timing
async def test_comparing_passwords_keeps_nobody_else_waiting(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(basic_auth_users={"alice": _hashed(PASSWORD, cost=11)})
    assert await _status(client, "alice", PASSWORD) == 200
    guesses = [asyncio.create_task(_status(client, "alice", str(guess))) for guess in range(4)]
    for _ in range(20):
        assert (await client.get("/-/healthy")).status_code == 200
        assert await _status(client, "alice", PASSWORD) == 200
    assert not all(guess.done() for guess in guesses)
    assert await asyncio.gather(*guesses) == [401] * 4


@asynccontextmanager
async def _from(
    client: httpx.AsyncClient, host: str, port: int
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the same application, with another address."""
    app = client._transport.app  # type: ignore[attr-defined]
    transport = httpx.ASGITransport(app, client=(host, port))
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as other:
        yield other


async def test_first_right_login_is_not_kept_waiting_by_guesses(
    client: httpx.AsyncClient, in_force: InForce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.access._PAUSE_SECONDS", 0.0)
    in_force.change(basic_auth_users=ALICE)
    compared: list[bytes] = []

    def compare(password: bytes, hashed: bytes) -> bool:
        compared.append(password)
        time.sleep(0.002)
        return password == PASSWORD.encode()

    monkeypatch.setattr("exporter.web.access.bcrypt.checkpw", compare)

    async def guess(number: int) -> None:
        async with _from(client, "10.0.0.1", number) as guesser:
            for attempt in range(4):
                status = await _status(guesser, "alice", f"{number} {attempt}")
                assert status in (401, 429)

    guesses = [asyncio.create_task(guess(number)) for number in range(200)]
    await until("guesses are compared", lambda: len(compared) >= 40)
    before = len(compared)
    assert await _status(client, "alice", PASSWORD) == 200
    assert len(compared) - before <= MOST_WAITING + 2
    await asyncio.gather(*guesses)


async def test_same_password_of_many_requests_is_compared_once(
    client: httpx.AsyncClient, in_force: InForce, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force.change(basic_auth_users=ALICE)
    compared: list[bytes] = []
    compare = bcrypt.checkpw

    def counting(password: bytes, hashed: bytes) -> bool:
        compared.append(password)
        return compare(password, hashed)

    monkeypatch.setattr("exporter.web.access.bcrypt.checkpw", counting)
    requests = (_status(client, "alice", PASSWORD) for _ in range(3 * MOST_WAITING))
    assert set(await asyncio.gather(*requests)) == {200}
    assert len(compared) == 1


async def test_request_beyond_the_limit_is_refused(
    client: httpx.AsyncClient, in_force: InForce
) -> None:
    in_force.change(rate_limit={"interval": "1h", "burst": 3})
    assert [(await client.get("/metrics")).status_code for _ in range(5)] == [200] * 3 + [429] * 2
    in_force.change()
    assert (await client.get("/metrics")).status_code == 200


async def test_limit_holds_for_guesses_too(client: httpx.AsyncClient, in_force: InForce) -> None:
    in_force.change(basic_auth_users=ALICE, rate_limit={"interval": "1h", "burst": 2})
    assert [await _status(client, "alice", "wrong") for _ in range(3)] == [401, 401, 429]
    assert await _status(client, "alice", PASSWORD) == 429


@given(
    st.floats(0.01, 10),
    st.integers(1, 20),
    st.lists(st.floats(0, 30), min_size=1, max_size=100),
)
def test_no_window_sees_more_than_the_burst_and_what_fell_due_in_it(
    interval: float, burst: int, gaps: list[float]
) -> None:
    limit = RateLimit.model_construct(interval=interval, burst=burst)
    now, planned = 0.0, float("-inf")
    passed: list[float] = []
    for gap in gaps:
        now += gap
        due = next_request_at(now, planned, limit)
        if due is not None:
            planned = due
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            most = burst + (passed[last] - start) / interval
            assert last - first + 1 <= most * (1 + 1e-9) + 1e-9
    assert passed[:1], "the first one always passes"


@given(st.floats(0.01, 10), st.integers(1, 20), st.integers(1, 50))
def test_who_keeps_to_the_interval_is_never_refused(
    interval: float, burst: int, requests: int
) -> None:
    limit = RateLimit.model_construct(interval=interval, burst=burst)
    planned: float | None = float("-inf")
    for number in range(requests):
        planned = next_request_at(number * interval * (1 + 1e-9), planned or 0.0, limit)
        assert planned is not None


async def test_headers_are_on_every_answer(client: httpx.AsyncClient, in_force: InForce) -> None:
    headers = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'self'"}
    in_force.change(
        http_server_config={"headers": headers},
        basic_auth_users=ALICE,
        rate_limit={"interval": "1h", "burst": 2},
    )
    seen = [await client.get(path) for path in ("/-/healthy", "/", "/", "/")]
    assert [answer.status_code for answer in seen] == [200, 401, 401, 429]
    for answer in seen:
        assert answer.headers["x-frame-options"] == "deny"
    in_force.change(http_server_config={"headers": headers})
    landing = await client.get("/")
    assert landing.headers.get_list("content-security-policy") == ["default-src 'self'"]
