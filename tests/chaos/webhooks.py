"""Delivers thousands of Stripe's events, shuffled and each several times, while the product's processes are killed.

    python -m tests.chaos.webhooks [--deliveries 10000] [--kills 20] [--times 3] [--receivers 8] [--seed 1]

Payments are made at the stand-in first, without telling anybody; then all that it has to tell is delivered by as many
senders as there are receivers, each delivery until it is answered 200, and buyers come back to their pages meanwhile.
Exits with 1 and a reason unless every payment has exactly its grant. docs/proof.md has the numbers of a long run.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter, deque
from typing import Any

import django
import httpx
from django.db import connections

from tests.chaos.stack import VICTIMS, Stack
from tests.ports import free_port
from tests.stripe_standin import SECRET_KEY, WEBHOOK_SECRET, StandIn, signed, start, stop

# What a payment by card has to tell, about.
EVENTS_OF_A_PAYMENT = 11
FINISH_SECONDS = 600


class Deliveries:
    """What is still to be delivered, and what became of it."""

    def __init__(self, url: str, events: list[dict[str, Any]], times: int, seed: int) -> None:
        self.url = url
        waiting = events * times
        random.Random(seed).shuffle(waiting)
        self.count = len(waiting)
        self.answers: Counter[str] = Counter()
        self.delivered = 0
        self._waiting = deque(waiting)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, senders: int) -> None:
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(senders)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _send(self) -> None:
        with httpx.Client(trust_env=False, timeout=20) as client:
            while True:
                with self._lock:
                    if not self._waiting:
                        return
                    event = self._waiting.popleft()
                answer = self._post(client, event)
                with self._lock:
                    self.answers[answer] += 1
                    if answer == "200":
                        self.delivered += 1
                        continue
                    # As Stripe does: later, and among others.
                    self._waiting.append(event)
                time.sleep(0.2)

    def _post(self, client: httpx.Client, event: dict[str, Any]) -> str:
        body, signature = signed(event)
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        try:
            return str(client.post(self.url, content=body, headers=headers).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--times", type=int, default=3, help="how often each event is delivered")
    parser.add_argument("--receivers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    port = free_port()
    server = start(port)
    standin = StandIn(f"http://localhost:{port}")
    stack = Stack(
        STRIPE_SECRET_KEY=SECRET_KEY,
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
        STRIPE_API_BASE=standin.url,
        WEB_WORKERS=str(max(options.receivers // 2, 1)),
        WEB_THREADS="2",
    )
    try:
        django.setup()
        stack.migrate()
        from tests.chaos import payments

        wanted = -(-options.deliveries // options.times // EVENTS_OF_A_PAYMENT)
        made = payments.make(standin, wanted, options.seed)
        events = payments.all_events(standin)
        connections.close_all()
        stack.start()
        stack.wait_until(stack.ready, "the product is ready", 180)
        deliveries = Deliveries(f"http://127.0.0.1:{stack.port}/webhooks/stripe", events, options.times, options.seed)
        print(f"{made.paid} payments of {len(made.begun)} begun, {len(events)} events,"
              f" {deliveries.count} deliveries (seed {options.seed})", flush=True)  # fmt: skip
        began = time.monotonic()
        deliveries.start(options.receivers)
        returning = payments.Returning(made, options.seed)
        returning.start()
        storm(stack, deliveries, options.kills, options.seed)
        deliveries.join()
        lasted = time.monotonic() - began
        returning.stop()
        stack.wait_until(stack.ready, "ready again after the last kill", 120)
        finished = stack.wait_until(payments.nothing_waits, "every event is processed", FINISH_SECONDS)
        findings = payments.everything(standin, made, len(events))
        print(f"{deliveries.delivered} delivered in {lasted:.0f} s by {options.receivers} senders:"
              f" {dict(deliveries.answers.most_common())}")  # fmt: skip
        print(f"{sum(stack.kills.values())} kills: {dict(stack.kills)}")
        print(f"buyers came back {returning.count} times; all events processed {finished:.1f} s after the last answer")
        print(payments.summary())
        for finding in findings:
            print(f"OFF: {finding}")
        print(stack.logs() if findings else "Grants equal payments to the minor unit.")
        return 1 if findings else 0
    finally:
        stack.stop()
        stop(server)


def storm(stack: Stack, deliveries: Deliveries, kills: int, seed: int) -> None:
    """Kill `kills` times something, spread over the deliveries, whether or not the last victim serves again."""
    chance = random.Random(seed)
    order: list[str] = []
    for number in range(kills):
        due = deliveries.count * (number + 1) // (kills + 1)
        while deliveries.delivered < due and not deliveries.over:
            stack.look_after()
            time.sleep(0.05)
        killed = False
        while not killed:
            order = order or chance.sample(VICTIMS, len(VICTIMS))
            victim = order.pop()
            killed = stack.kill(victim, chance)
        print(f"killed {victim} after {deliveries.delivered} deliveries", flush=True)
    while not deliveries.over:
        stack.look_after()
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
