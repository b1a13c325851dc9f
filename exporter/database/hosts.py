"""The servers that a connection string names, one address at a time.

libpq enforces connect_timeout for each host only where it may block, and a service file's hosts are
known to libpq alone. So the list is made here, and each address gets its own time.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

from psycopg import OperationalError, pq
from psycopg.conninfo import conninfo_to_dict

from exporter.settings import libpq_service_file

RESOLVE_SECONDS = 5.0
"""The longest that a name may take to be resolved."""

_KEYS = ("host", "hostaddr", "port")

_lookups: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Future[list[str]]] = {}
"""Those under way, by name."""


class Server(NamedTuple):
    """One server as the connection string names it; what is empty is left to libpq."""

    host: str = ""
    hostaddr: str = ""
    port: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of libpq that name this server."""
        return {key: value for key, value in self._asdict().items() if value}


def servers_of(conninfo: str) -> list[Server]:
    """Return the servers of a connection string, of its service and of the environment, in order.

    The list has one `Server` without a host where libpq's default (a local socket) is meant.
    """
    given = _place(conninfo)
    hosts, addresses, ports = (given[key].split(",") for key in _KEYS)
    count = max(len(hosts), len(addresses))
    both = given["host"] and given["hostaddr"]
    if (both and len(hosts) != len(addresses)) or len(ports) not in (1, count):
        return [Server(**given)]  # the numbers do not match; libpq has the words for it
    hosts, addresses, ports = (
        list(values) * (count if len(values) == 1 else 1) for values in (hosts, addresses, ports)
    )
    return [Server(*server) for server in zip(hosts, addresses, ports, strict=True)]


async def addresses_of(server: Server) -> list[Server]:
    """Return `server` once for each address that its name has.

    Raises:
        OperationalError: the name has no address, or none within `RESOLVE_SECONDS`.
    """
    if not _is_name(server):
        return [server]
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            addresses = await _resolved(server.host)
    except TimeoutError:
        reason = f"not resolved within {RESOLVE_SECONDS:g} s"
        raise OperationalError(f"no address for {server.host}: {reason}") from None
    except (OSError, UnicodeError) as error:
        raise OperationalError(f"no address for {server.host}: {error}") from None
    return [server._replace(hostaddr=address) for address in addresses]


async def _resolved(host: str) -> list[str]:
    """Resolve a name on a thread of its own, once for all that ask meanwhile.

    A resolver may hang for longer than anybody waits. It would keep a thread of the loop's pool, in
    which files are read, and the end of the process.
    """
    key = asyncio.get_running_loop(), host
    if key not in _lookups:
        _lookups[key] = _begin_lookup(host)
        _lookups[key].add_done_callback(lambda future: (future.exception(), _lookups.pop(key)))
    return await asyncio.shield(_lookups[key])


def _begin_lookup(host: str) -> asyncio.Future[list[str]]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str], error: Exception | None) -> None:
        if error:
            future.set_exception(error)
        else:
            future.set_result(found)

    def resolve() -> None:
        found: list[str] = []
        failure: Exception | None = None
        try:
            addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(address[4][0]) for address in addresses))
        except (OSError, UnicodeError) as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, found, failure)

    threading.Thread(target=resolve, name=f"resolver of {host}", daemon=True).start()
    return future


async def candidates(
    servers: list[Server], last_good: Server | None
) -> AsyncIterator[tuple[Server | OperationalError, bool]]:
    """Yield each address, the last good one first, and whether it is the last of all.

    A name is resolved at each connect, because a failover may move it. Where a name has no address,
    the error is yielded in its place.
    """
    servers = sorted(servers, key=lambda server: not _is_same(server, last_good))
    for number, server in enumerate(servers):
        is_last = number == len(servers) - 1
        try:
            addresses = await addresses_of(server)
        except OperationalError as error:
            yield error, is_last
            continue
        addresses.sort(key=lambda address: address != last_good)
        for place, address in enumerate(addresses):
            yield address, is_last and place == len(addresses) - 1


def _is_same(server: Server, last_good: Server | None) -> bool:
    """Return whether `last_good` is an address of `server`."""
    if last_good is None:
        return False
    return server == last_good or (_is_name(server) and server == last_good._replace(hostaddr=""))


def _is_name(server: Server) -> bool:
    if server.hostaddr or not server.host or server.host.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(server.host)
    except ValueError:
        return True
    return False


def _place(conninfo: str) -> dict[str, str]:
    """Return host, hostaddr and port, in the order of libpq: the string, its service, defaults."""
    given = {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value}
    defaults = _defaults()
    of_service = _read_service(libpq_service_file(), given.get("service", ""))
    return {key: given.get(key) or of_service.get(key) or defaults.get(key) or "" for key in _KEYS}


def _defaults() -> Mapping[str, str]:
    """Return what libpq takes from the environment, with the service that PGSERVICE names."""
    try:
        options = pq.Conninfo.get_defaults()
    except MemoryError:  # how psycopg puts it that PGSERVICE names no service
        return {}
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def _read_service(path: Path, service: str) -> Mapping[str, str]:
    """Return the parameters of a service; none where there is none, which libpq reports."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if service else []
    except OSError:
        return {}
    found: dict[str, str] = {}
    section = None
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == service and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    return found
