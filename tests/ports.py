"""Ports for servers that a test starts."""

from __future__ import annotations

import socket

_kept: list[socket.socket] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that nobody else is given while this process lives.

    It stays bound here, so that the kernel hands it to no other server and no outgoing connection between now and when
    the server starts, or while one is killed and started again. A server may listen on it all the same if it sets
    SO_REUSEADDR, as all of ours do; until then connections are refused.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _kept.append(kept)
    return int(kept.getsockname()[1])
