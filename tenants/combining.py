"""Calls of several threads that would wait for the same locks go to the database together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Call = TypeVar("Call")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Asked(Generic[Call, Answer]):
    """One thread's call: it leads when it is handed a batch, and else finds its answer, or neither and goes alone."""

    call: Call
    woken: threading.Event = field(default_factory=threading.Event)
    batch: list[_Asked[Call, Answer]] = field(default_factory=list)
    answers: Sequence[Answer] = ()


class Combiner(Generic[Key, Call, Answer]):
    """Sends what threads ask for under one key in turns: one thread at a time, with all that has gathered meanwhile.

    A call that finds nobody at work goes at once and alone, so it never waits for company. While it is at work others
    gather; the first of them then takes them all (at most `most`) and leads the next turn, on its own connection.
    This is flat combining (Hendler, Incze, Shavit, Tzafrir 2010) with the lead handed on, so that nobody works for
    others after their own turn.

    `together(key, calls)` gives one answer for each call, in their order, and is all or nothing: when it raises for
    several calls, each of them is tried alone by its own thread, and raises there what is its own.
    """

    def __init__(self, together: Callable[[Key, Sequence[Call]], Sequence[Answer]], *, most: int) -> None:
        self._together = together
        self._most = most
        self._lock = threading.Lock()
        self._gathered: dict[Key, list[_Asked[Call, Answer]]] = {}

    def __call__(self, key: Key, call: Call) -> Answer:
        """Return the call's answer; raises what `together` raises for it."""
        asked: _Asked[Call, Answer] = _Asked(call)
        with self._lock:
            gathered = self._gathered.get(key)
            if gathered is None:
                self._gathered[key] = []
                asked.batch = [asked]
            else:
                gathered.append(asked)
        if not asked.batch:
            asked.woken.wait()
        if asked.batch:
            self._lead(key, asked.batch)
        (answer,) = asked.answers or self._together(key, [call])
        return answer

    def _lead(self, key: Key, batch: list[_Asked[Call, Answer]]) -> None:
        answers: Sequence[Answer] = ()
        try:
            answers = self._together(key, [asked.call for asked in batch])
        except Exception:
            if len(batch) == 1:
                raise
        finally:
            self._hand_on(key)
            for index, asked in enumerate(batch):
                asked.answers = answers[index : index + 1]
                asked.woken.set()

    def _hand_on(self, key: Key) -> None:
        with self._lock:
            gathered = self._gathered.pop(key)
            if not gathered:
                return
            batch, self._gathered[key] = gathered[: self._most], gathered[self._most :]
        batch[0].batch = batch
        batch[0].woken.set()
