"""Webhooks: signed as Stripe signs them, sent outside of the request, tried again while the receiver is away."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time

import aiohttp

from portal.local.stripe.world import Json, World

log = logging.getLogger("stripe")

# Seconds before each further try; Stripe's own schedule goes on for three days.
BACK_OFF = (0.5, 1, 2, 4, 8, 15, 30, 60, 60, 60, 60, 60)
AT_ONCE = 4
PATIENCE_SECONDS = 20


def signature(body: bytes, secret: str, moment: int) -> str:
    """Return the Stripe-Signature header of a raw body."""
    signed = hmac.new(secret.encode(), b"%d.%s" % (moment, body), hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"


class Deliveries:
    """Sends what the world has emitted to every endpoint; must be closed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS))

    async def close(self) -> None:
        """Stop trying; what is undelivered stays so in the file."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    def send_emitted(self) -> None:
        """Begin to deliver the events of the request that was just answered."""
        events, self._world.emitted = self._world.emitted, []
        for event in events:
            for name, endpoint in self._world.endpoints.items():
                if _wants(endpoint, event["type"]):
                    event["pending_webhooks"] += 1
                    self._start(event, name)

    def resume(self) -> None:
        """Deliver what an earlier run could not."""
        for event in self._world.undelivered():
            wanting = [name for name, endpoint in self._world.endpoints.items() if _wants(endpoint, event["type"])]
            event["pending_webhooks"] = len(wanting)
            for name in wanting:
                self._start(event, name)

    def forget(self) -> None:
        """Try no more to deliver what is not delivered yet."""
        for task in self._tasks:
            task.cancel()

    def again(self, event: Json, changes: Json) -> None:
        """Deliver an event once more, with `changes` to its envelope."""
        for name in self._world.endpoints:
            self._start(event, name, changes)

    @property
    def waiting(self) -> int:
        """How many deliveries have not ended."""
        return len(self._tasks)

    def _start(self, event: Json, endpoint: str, changes: Json | None = None) -> None:
        task = asyncio.create_task(self._deliver(event, endpoint, changes))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, event: Json, name: str, changes: Json | None) -> None:
        for wait in (*BACK_OFF, None):
            endpoint = self._world.endpoints.get(name)
            if endpoint is None:
                return
            if await self._post(endpoint, {**event, **(changes or {})}):
                if changes is None:
                    event["pending_webhooks"] = max(event["pending_webhooks"] - 1, 0)
                    self._world.changed = True
                return
            if wait is None:
                log.warning("webhook %s %s given up", event["id"], event["type"])
                return
            await asyncio.sleep(wait)

    async def _post(self, endpoint: Json, event: Json) -> bool:
        body = json.dumps(event, indent=2, sort_keys=True).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, endpoint["secret"], int(time.time())),
        }
        try:
            async with (
                self._turn,
                self._session.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as answer,
            ):
                if 200 <= answer.status < 300:
                    return True
                log.warning("webhook %s answered %s", event["type"], answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("webhook %s failed: %s", event["type"], type(error).__name__)
        return False


def _wants(endpoint: Json, kind: str) -> bool:
    events = endpoint.get("events")
    return not events or "*" in events or kind in events
