"""Buying without an account: which stand-in for Stripe runs beside the product, and how the two know each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from portal.local import machine
from portal.local.report import Failure
from portal.local.supervisor import python

PORTS_BETWEEN = 420
# Long enough to be seen waiting, short enough to be waited for.
SETTLE_SECONDS = 10


@dataclass(frozen=True)
class StandIn:
    """A stand-in that is to be started: its command, its address, and the settings that lead to it."""

    url: str
    command: list[str]
    env: dict[str, str]


def stand_in(data: Path, host: str, own: int, env: Mapping[str, str]) -> StandIn:
    """Return the stand-in of this run, listening at `own`; `env` is what the product's processes will have."""
    # Where the browser finds the product, it finds the pages of the stand-in too.
    url = f"http://{urlsplit(env['BASE_URL']).hostname}:{own}"
    secret = f"whsec_{machine.kept_secret(data / 'stripe-webhook-secret')}"
    options = {
        "--host": host,
        "--port": str(own),
        "--origin": url,
        "--data": str(data / "stripe.json"),
        "--webhook": f"{env['BASE_URL']}/webhooks/stripe",
        "--settle-seconds": str(SETTLE_SECONDS),
    }
    words = [word for option in options.items() for word in option]
    settings = {
        "STRIPE_SECRET_KEY": "sk_test_local_stand_in",
        "STRIPE_WEBHOOK_SECRET": secret,
        "STRIPE_API_BASE": url,
    }
    return StandIn(url, python("-m", "portal.local.stripe", *words), settings)


def port_for(host: str, port: int) -> int | None:
    """Return where a stand-in listens, or None where STRIPE_SECRET_KEY names a real Stripe (or, empty, none at all).

    STRIPE_PORT, else a port that does not change from run to run while it is free, so that what was begun before a
    restart can go on. Raises Failure for a STRIPE_PORT that is taken.
    """
    if "STRIPE_SECRET_KEY" in os.environ or "STRIPE_SECRET_KEY_FILE" in os.environ:
        return None
    if asked := os.environ.get("STRIPE_PORT"):
        if not asked.isdecimal() or not 0 < int(asked) < 65536:
            raise Failure(f"STRIPE_PORT={asked} is no port. Give a number from 1 to 65535, or none.")
        machine.require_free_port(host, int(asked), name="STRIPE_PORT")
        return int(asked)
    usual = port + PORTS_BETWEEN
    for wanted in (usual if usual < 65536 else 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failure(f"No port is free on {host} for the stand-in for Stripe.")
