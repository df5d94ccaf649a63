"""A relay between a client and rota that keeps what rota says, for clients that do not show their replies' headers.

Its address stays the same while rota is started anew behind it.
"""

import contextlib
import re
import socket
import threading

PIECE = 65_536
# The first line of a reply, and the lines that follow it. A body that has such a line in it would be taken for one:
# the fake's bodies have none.
HEAD = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


class Tap:
    """Relays bytes both ways, unchanged."""

    def __init__(self) -> None:
        self._target = ""
        self._replies: list[bytearray] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where a client connects."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def aim(self, target: str) -> None:
        """Sends connections from now on to this address."""
        self._target = target

    def heads(self) -> list[tuple[int, str]]:
        """Status and header lines of every reply so far, by connection."""
        return [(int(head[1]), head[2].decode("latin-1").lower())
                for reply in list(self._replies) for head in HEAD.finditer(bytes(reply))]

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                host, port = self._target.rsplit(":", 1)
                server = socket.create_connection((host, int(port)))
            except (OSError, ValueError):
                client.close()
                continue
            reply = bytearray()
            self._replies.append(reply)
            threading.Thread(target=_relay, args=(client, server, bytearray()), daemon=True).start()
            threading.Thread(target=_relay, args=(server, client, reply), daemon=True).start()


def _relay(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    """Passes bytes on until either side ends, and then the end."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            kept += piece
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
