"""A network that fails silently: packets vanish, and neither side hears of it."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_SO_ATTACH_FILTER = 26
# One instruction of a socket filter: BPF_RET, and keep 0 bytes. The kernel drops each packet before
# TCP sees it, so that it is not even acknowledged.
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))


def silence(endpoint: socket.socket) -> None:
    """Drop every packet that arrives for this socket; of a listening one, new connections too."""
    program = struct.pack("HL", 1, ctypes.addressof(_DROP_ALL))
    endpoint.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 at which nobody answers, as at a host that is switched off."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silence(listener)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def hanging_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


class Gateway:
    """A load balancer in front of a port of 127.0.0.1, which can forget its connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._held):
            each.close()

    def drop(self) -> None:
        """Make black holes of all connections there are; new ones work."""
        for each in self._held:
            with contextlib.suppress(OSError):
                silence(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._held += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
