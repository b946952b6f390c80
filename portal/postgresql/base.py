from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Checks a kept connection by its socket, before it asks the server."""

    def is_usable(self) -> bool:
        """Tell whether the connection still works.

        A server that ends a connection says so on its socket, and nothing else comes unasked on an idle one: as long as
        there is nothing to read, a query to find out would be a round trip for every request.
        """
        if self.connection is None or self.connection.closed:
            return False
        socket = select.poll()
        socket.register(self.connection.pgconn.socket, select.POLLIN)
        return not socket.poll(0) or super().is_usable()
