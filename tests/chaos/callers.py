"""Callers who send images through a storm, each with a key of its own, until they know what came of each."""

from __future__ import annotations

import io
import json
import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
from PIL import Image

GIVE_UP_SECONDS = 120
FINAL = {400, 401, 403, 404, 409, 413, 415, 422}


@dataclass
class Answer:
    """What one caller was told in the end: the job, and what it cost if it was finished by then."""

    key: str
    status: int
    job_id: str
    tokens: Decimal | None
    cached: bool


@dataclass
class Callers:
    """Threads that call and thread that moves Tokens, until told to stop; what all of them were told."""

    port: int
    secret: str
    management_key: str
    sub_token_id: str
    answers: list[Answer] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)
    tried_to_move: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    unanswered: dict[str, list[str]] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, count: int, seed: int) -> None:
        """Start `count` callers and one who allocates Tokens by the management API."""
        runs = [lambda number=number: self._call(random.Random(seed + number)) for number in range(count)]
        for run in [*runs, self._allocate]:
            thread = threading.Thread(target=self._guard, args=(run,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let everybody finish what they have begun; raise what one of them stumbled over."""
        self._done.set()
        for thread in self._threads:
            thread.join(GIVE_UP_SECONDS + 60)
            assert not thread.is_alive(), "a caller never came back"
        if self.errors:
            raise self.errors[0]

    def _guard(self, run: Any) -> None:
        try:
            run()
        except BaseException as error:
            self.errors.append(error)

    def _call(self, chance: random.Random) -> None:
        while not self._done.is_set():
            key, waits = str(uuid.uuid4()), chance.random() < 0.6
            headers = {"Idempotency-Key": key, "Authorization": f"Bearer {self.secret}", "Content-Type": "image/png"}
            if not waits:
                headers["Prefer"] = "respond-async"
            elif chance.random() < 0.3:
                headers["Prefer"] = "wait=1"
            # Few enough pictures that the cache is hit now and then.
            response = self._insist("/v1/detect", picture(chance.randrange(400)), headers, key, {"model": "null-n"})
            if response is not None:
                body = json.loads(response.content, parse_float=Decimal)
                assert response.status_code in (200, 202), (response.status_code, body)
                finished, usage = response.status_code == 200, body["usage"]
                told = Answer(
                    key,
                    response.status_code,
                    body["id"],
                    Decimal(usage["tokens"]) if finished else None,
                    usage["cached"],
                )
                with self._lock:
                    self.answers.append(told)
            time.sleep(chance.uniform(0, 0.1))

    def _allocate(self) -> None:
        """Give the sub-token a thousandth, again and again: each key must move it once, however often it is sent."""
        while not self._done.is_set():
            key = str(uuid.uuid4())
            headers = {"Idempotency-Key": key, "Authorization": f"Bearer {self.management_key}"}
            headers["Content-Type"] = "application/json"
            self.tried_to_move.add(key)
            path = f"/v1/sub_tokens/{self.sub_token_id}/allocate"
            response = self._insist(path, b'{"tokens": 0.001}', headers, key, {})
            if response is not None:
                assert response.status_code == 200, (response.status_code, response.text)
                self.moved.add(key)
            time.sleep(0.2)

    def _insist(
        self, path: str, content: bytes, headers: dict[str, str], key: str, query: dict[str, str]
    ) -> httpx.Response | None:
        """Send one request until it is answered for good; None if it is not before its caller gives up."""
        deadline, outcomes = time.monotonic() + GIVE_UP_SECONDS, []
        while time.monotonic() < deadline:
            began = time.monotonic()
            try:
                response = httpx.post(
                    f"http://127.0.0.1:{self.port}{path}", content=content, headers=headers, params=query, timeout=45
                )
            except httpx.TransportError as error:
                outcome = type(error).__name__
            else:
                code = "" if response.status_code < 400 else json.loads(response.content)["code"]
                outcome = f"{response.status_code} {code}".strip()
                busy = response.status_code == 409 and "Retry-After" in response.headers
                if response.status_code < 300 or (response.status_code in FINAL and not busy):
                    self._count(outcome)
                    return response
            self._count(outcome)
            outcomes.append(f"{outcome} after {time.monotonic() - began:.1f} s")
            time.sleep(0.3)
        self.unanswered[key] = outcomes
        return None

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.attempts[outcome] += 1


def picture(seed: int) -> bytes:
    """Return a small PNG, always the same for the same seed."""
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
