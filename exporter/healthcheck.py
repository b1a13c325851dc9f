"""Asks the daemon on this machine whether it is alive, for a container's HEALTHCHECK."""

import http.client

_TIMEOUT_SECONDS = 3.0


def ask_health(listen: str) -> str | None:
    """Ask /-/healthy of the daemon that listens on `listen`; return what is wrong, or None."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    local = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(local, int(port), timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/-/healthy")
        response = connection.getresponse()
        body = response.read(200).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return None if response.status == 200 else body
