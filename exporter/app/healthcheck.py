"""Asks the daemon on this machine whether it is alive, for a container's HEALTHCHECK.

Imports `http.client` and `ssl` alone: with the other commands' imports a check took 0.8 s of CPU
and 70 MiB, and containers run it every 15 s.
"""

import http.client
import os
import ssl
import sys

DEFAULT_LISTEN = ":10187"
"""The default of the setting `listen`, whose module is too expensive to import."""

_TIMEOUT_SECONDS = 3.0


def run_from_environment() -> None:
    """Ask /-/healthy and exit 0 or 1, if environment variables alone say where the daemon listens.

    Return without a word if a config file may say it, or if the address is malformed: then the
    command of the CLI reads all settings, and explains what is wrong with them.
    """
    variables = {name.upper(): value for name, value in os.environ.items() if value}
    listen = variables.get("LOOM_EXPORTER_LISTEN", DEFAULT_LISTEN)
    if "LOOM_EXPORTER_CONFIG" in variables or not listen.rpartition(":")[2].isdecimal():
        return
    reason = ask_health(listen)
    if reason:
        print(f"loom-exporter: healthcheck: {listen}: {reason}", file=sys.stderr)
    sys.exit(1 if reason else 0)


def ask_health(listen: str) -> str | None:
    """Ask /-/healthy of the daemon that listens on `listen`; return what is wrong, or None.

    In plain HTTP, and with TLS if that is not understood: the health paths need no password.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    local = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        return _ask(http.client.HTTPConnection(local, int(port), timeout=_TIMEOUT_SECONDS))
    except (ConnectionRefusedError, TimeoutError) as error:
        return f"no answer: {error}"
    except (OSError, http.client.HTTPException) as error:
        return _ask_with_tls(local, int(port), error)


def _ask_with_tls(host: str, port: int, plain_error: Exception) -> str | None:
    # It is this machine, whatever name its certificate has.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    try:
        connection.connect()
    except ssl.SSLError:
        return f"no answer: {plain_error}"
    except OSError as error:
        return f"no answer: {error}"
    try:
        return _ask(connection)
    except TimeoutError as error:
        return f"no answer: {error}"
    except (OSError, http.client.HTTPException):
        # It asks for a client certificate, which we do not have. In TLS 1.3 a server says so after
        # its own part of the handshake, so it is alive.
        return None


def _ask(connection: http.client.HTTPConnection) -> str | None:
    try:
        connection.request("GET", "/-/healthy")
        response = connection.getresponse()
        body = response.read(200).decode(errors="replace").strip()
    finally:
        connection.close()
    return None if response.status == 200 else body
