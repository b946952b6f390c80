"""Tells the workers that jobs wait. Only a hint: the job rows are the queue, so a lost or doubled ring does no harm.

Rings lie in one Redis list, one for each kind of job (model version and image size) until a worker takes it: a flood of
calls is one ring. A worker that has just finished a batch listens there for a while, which is the quick way. Only when
nobody listens does a ring also become a Celery message, at most one in a while for each kind.
"""

from __future__ import annotations

import uuid
from typing import cast

import redis
from celery import current_app

from detection.services.redis import client

TASK, QUEUE = "workers.run_jobs", "inference"
BELLS = "doorbells"
# How long a worker listens after its last job. Longer than a message keeps others from being sent, so that whoever
# answered the message still listens when the next ring sends none.
LISTEN_SECONDS = 2.0
UNANSWERED_MS = 1000

# KEYS: the bells; ARGV: the kind.
_RING = "if not redis.call('LPOS', KEYS[1], ARGV[1]) then redis.call('RPUSH', KEYS[1], ARGV[1]) end"
# As a command of its own after the ring, for in between Redis gives the ring to a worker that listens.
# KEYS: the bells, the kind's message; ARGV: how long it keeps others away (ms). Answers 1 if the message is to be sent.
_UNHEARD = """
if redis.call('LLEN', KEYS[1]) > 0 and redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[1]) then return 1 end
return 0
"""


def _kind(version_id: uuid.UUID, img_size: int) -> str:
    return f"{version_id}:{img_size}"


def _message(version_id: uuid.UUID, img_size: int) -> str:
    return f"doorbell:{_kind(version_id, img_size)}"


def ring(version_id: uuid.UUID, img_size: int, priority_class: int = 1) -> None:
    """Ask a worker to claim jobs of one model version and size. Raises redis.RedisError or kombu's OperationalError.

    The jobs must be committed: a worker that takes the ring will look for them only once.
    """
    with client().pipeline(transaction=False) as pipe:
        ring_in(pipe, version_id, img_size)
        *_, unheard = pipe.execute()
    if unheard:
        call(version_id, img_size, priority_class)


def ring_in(pipe: redis.client.Pipeline, version_id: uuid.UUID, img_size: int) -> None:
    """Ring as two more commands of `pipe`; if the last answers 1, nobody listens: then `call`."""
    pipe.eval(_RING, 1, BELLS, _kind(version_id, img_size))
    pipe.eval(_UNHEARD, 2, BELLS, _message(version_id, img_size), UNANSWERED_MS)


def call(version_id: uuid.UUID, img_size: int, priority_class: int) -> None:
    """Send the Celery message that somebody shall come and look for jobs of a kind."""
    current_app.send_task(
        TASK, [str(version_id), img_size], queue=QUEUE, priority=priority_class, ignore_result=True, retry=False
    )


def answer(version_id: uuid.UUID, img_size: int) -> None:
    """Take the ring that a message stood for, before looking at the queue, so that no job falls in between."""
    with client().pipeline(transaction=False) as pipe:
        pipe.lrem(BELLS, 0, _kind(version_id, img_size))
        pipe.delete(_message(version_id, img_size))
        pipe.execute()


def listen(seconds: float) -> tuple[uuid.UUID, int] | None:
    """Wait for a ring and take it: the model version and image size that were rung for; None if there was none."""
    taken = cast("tuple[bytes, bytes] | None", client().blpop([BELLS], timeout=seconds))
    if taken is None:
        return None
    version_id, _, img_size = taken[1].decode().partition(":")
    return uuid.UUID(version_id), int(img_size)
