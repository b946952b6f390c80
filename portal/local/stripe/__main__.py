"""`python -m portal.local.stripe --port N`: serve the stand-in until a signal."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from aiohttp import web

from portal.local.stripe.app import make_app
from portal.local.stripe.world import World


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m portal.local.stripe", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8420)
    parser.add_argument("--data", type=Path, help="the file that keeps everything; without it, memory alone")
    parser.add_argument("--webhook", help="where events are delivered")
    secret = os.environ.get("STRIPE_WEBHOOK_SECRET")
    parser.add_argument("--secret", default=secret, help="what signs deliveries: whsec_...")
    parser.add_argument("--settle-seconds", type=float, help="when bank debits settle; without it, when told to")
    parser.add_argument("--origin", help="where browsers reach the hosted pages; http://localhost:PORT")
    options = parser.parse_args()
    if options.webhook and not options.secret:
        parser.error("--webhook needs --secret, or STRIPE_WEBHOOK_SECRET in the environment")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    origin = options.origin or f"http://localhost:{options.port}"
    world = World(file=options.data, origin=origin.rstrip("/"), settle_seconds=options.settle_seconds)
    world.load()
    if options.webhook:
        world.endpoints["given"] = {"url": options.webhook, "secret": options.secret, "events": None}
    web.run_app(make_app(world), host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
