"""Everything that moves Tokens, at once, on sixty-four connections for as long as is wanted.

An organization with three levels of accounts below its wallet, some with Tokens of their own and some that draw on what
is above them; every level under a ceiling that the callers would pass. Grants arrive all the time and expire after
seconds. Every connection keeps a book of what it was told, and in the end the books must say what the ledger says.
"""

from __future__ import annotations

import json
import queue
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections

from billing import errors
from billing.enums import GrantSource, SubTokenMode
from billing.models import Account, SubToken
from billing.queries.credentials import credential_for_secret
from billing.services import allocations, grants
from billing.services.expiry import expire_grants
from billing.services.holds import expire_overdue_holds
from billing.services.pools import open_pool
from billing.services.sub_token_life import rotate_secret
from billing.services.sub_tokens import create_sub_token
from billing.services.verify import verify_ledger
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import Organization, Team
from tenants.scope import organization_scope
from tests.concurrency.racing import PLACE, connect
from tests.factories.limits import make_limits

# How many connections do what; together sixty-four.
SPENDERS, WORKERS, MOVERS, SWEEPERS, EXPIRERS, ROTATORS, SETTERS, GRANTERS, VERIFIERS = 30, 16, 8, 2, 2, 2, 2, 1, 1
MOVED_MTOK, GRANTED_MTOK, CEILING_MTOK = 600, 4_000, 1_500
# How much longer than asked for a storm may last.
PATIENCE_SECONDS = 120
REFUSED = (
    errors.InsufficientTokens, errors.QuotaExceeded, errors.AccountClosed, errors.AccountExpired, errors.CapBelowDrawn,
)  # fmt: skip


@dataclass
class Book:
    """What one connection was told: how often what happened, how many mtok it moved, and what became of which hold."""

    counts: Counter[str] = field(default_factory=Counter)
    mtok: Counter[Any] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Book) -> Book:
        self.counts += other.counts
        self.mtok += other.mtok
        self.resolved += other.resolved
        return self


@dataclass
class Storm:
    """The organization in the storm, and what its connections share."""

    organization: Organization
    wallet: Account
    pools: list[Account]
    sub_tokens: list[SubToken]
    ceilings: dict[uuid.UUID, int]
    granted_mtok: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    held: queue.SimpleQueue[tuple[str, uuid.UUID, int]] = field(default_factory=queue.SimpleQueue)
    book: Book = field(default_factory=Book)

    @property
    def limited(self) -> list[Account]:
        """Return the accounts with a ceiling."""
        return [self.wallet, *self.pools, *(sub_token.account for sub_token in self.sub_tokens)]

    def rage(self, seconds: float, *, until: Callable[[Callable[[str], bool]], bool]) -> None:
        """Run all sixty-four until the time is over and `until` holds; raise what one of them raises.

        `until` is asked with a function that tells whether something of a name has happened: on a busy machine the time
        alone would not make sure of anything.
        """
        roles: list[Callable[[Book, random.Random], None]] = [
            *[self.spend] * SPENDERS, *[self.work] * WORKERS, *[self.move] * MOVERS, *[self.sweep] * SWEEPERS,
            *[self.expire] * EXPIRERS, *[self.rotate] * ROTATORS, *[self.set_ceilings] * SETTERS,
            *[self.grant] * GRANTERS, *[self.verify] * VERIFIERS,
        ]  # fmt: skip
        books, failures = [Book() for _ in roles], []

        def run(role: Callable[[Book, random.Random], None], seed: int) -> None:
            try:
                role(books[seed], random.Random(seed))
            except BaseException as failure:
                failures.append(failure)
                self.stop.set()
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(role, seed)) for seed, role in enumerate(roles)]
        for thread in threads:
            thread.start()
        began = time.monotonic()

        def happened(name: str) -> bool:
            return any(book.counts[name] > 0 for book in books)

        while not self.stop.wait(0.1):
            raged = time.monotonic() - began
            if raged > seconds and (until(happened) or raged > seconds + PATIENCE_SECONDS):
                break
        self.stop.set()
        for thread in threads:
            thread.join()
        for book in books:
            self.book += book
        if failures:
            raise failures[0]

    def spend(self, book: Book, chance: random.Random) -> None:
        """Hold for a random sub-token, and leave the hold to the workers, or to the sweeper when its time is over."""
        with connect() as connection:
            while not self.stop.is_set():
                account = chance.choice(self.sub_tokens).account
                hold_id, mtok, now = str(new_id()), chance.randint(1, 60), datetime.now(UTC)
                deadline = now + timedelta(seconds=chance.choice((0.5, 30)))
                asked = [account.organization_id, account.id, hold_id, mtok, hold_id, hold_id, deadline, now]
                (outcome,) = connection.execute(PLACE, asked).fetchone() or ("nothing",)
                book.counts[outcome] += 1
                if outcome == "held" and chance.random() > 0.05:  # who had the others has died
                    self.held.put((hold_id, account.id, mtok))
                if outcome != "held":
                    time.sleep(0.002)

    def work(self, book: Book, chance: random.Random) -> None:
        """Capture or release holds in batches, in no order, and now and then ones that another has as well."""
        with connect(platform=True) as connection:
            while not self.stop.is_set() or not self.held.empty():
                batch = self._batch()
                chance.shuffle(batch)
                if not batch:
                    time.sleep(0.005)
                    continue
                if chance.random() < 0.2:
                    self.held.put(batch[0])
                cut = chance.randint(0, len(batch))
                self._capture(connection, batch[:cut], book, chance)
                self._release(connection, batch[cut:], book)

    def _batch(self) -> list[tuple[str, uuid.UUID, int]]:
        batch = []
        try:
            while len(batch) < 8:
                batch.append(self.held.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _capture(self, connection: Any, holds: list[Any], book: Book, chance: random.Random) -> None:
        asked = {hold_id: account_id for hold_id, account_id, _mtok in holds}
        items = [
            {"hold_id": hold_id, "mtok": chance.randint(1, mtok), "transfer_id": str(new_id())}
            for hold_id, _account_id, mtok in holds
        ]
        sql = "SELECT hold_id::text, outcome, captured_mtok FROM billing_capture_holds(%s, %s)"
        for hold_id, outcome, mtok in connection.execute(sql, [json.dumps(items), datetime.now(UTC)]):
            book.counts[outcome] += 1
            if outcome == "captured":
                book.mtok[asked[hold_id]] += mtok
                book.resolved[hold_id] += 1

    def _release(self, connection: Any, holds: list[Any], book: Book) -> None:
        sql = "SELECT hold_id::text, outcome FROM billing_release_holds(%s::uuid[], 'released', %s)"
        ids = [hold_id for hold_id, _account_id, _mtok in holds]
        for hold_id, outcome in connection.execute(sql, [ids, datetime.now(UTC)]):
            book.counts[outcome] += 1
            book.resolved[hold_id] += outcome == "released"

    def move(self, book: Book, chance: random.Random) -> None:
        """Allocate down to what has Tokens of its own, take some or all back, and move sideways."""
        below = [account for account in self.limited[1:] if account.mode == "ring_fenced"]
        while not self.stop.is_set():
            account, now = chance.choice(below), datetime.now(UTC)
            act = chance.choice(("allocate", "allocate", "allocate", "reclaim", "move_sideways"))
            mtok = chance.choice((None, chance.randint(1, MOVED_MTOK)))
            key: dict[str, Any] = {"idempotency_key": str(new_id()), "now": now}
            siblings = [other for other in below if other.parent_id == account.parent_id and other != account]
            try:
                with organization_scope(self.organization.id):
                    if act == "allocate":
                        allocations.allocate(
                            from_account_id=account.parent_id, to_account_id=account.id, mtok=mtok or MOVED_MTOK, **key
                        )
                    elif act == "reclaim":
                        allocations.reclaim(account_id=account.id, mtok=mtok, **key)
                    elif siblings:
                        to = chance.choice(siblings).id
                        allocations.move_sideways(from_account_id=account.id, to_account_id=to, mtok=mtok, **key)
            except REFUSED as refusal:
                act = f"{act}: {type(refusal).__name__}"
            book.counts[act] += 1

    def sweep(self, book: Book, _chance: random.Random) -> None:
        """Expire holds whose time is over, as the scheduler does."""
        while not self.stop.wait(0.2):
            book.counts["holds expired"] += expire_overdue_holds(now=datetime.now(UTC), limit=50)

    def expire(self, book: Book, _chance: random.Random) -> None:
        """Expire grants whose time is over."""
        while not self.stop.wait(0.3):
            moved = expire_grants(now=datetime.now(UTC))
            book.mtok["expired"] += moved
            book.counts["expiry"] += moved > 0

    def rotate(self, book: Book, chance: random.Random) -> None:
        """Give sub-tokens new secrets, of which the old and the new must both be believed at once."""
        known: dict[uuid.UUID, str] = {}
        mine = self._shares.pop()
        while not self.stop.wait(0.05):
            sub_token = chance.choice(mine)
            with organization_scope(self.organization.id):
                issued = rotate_secret(
                    sub_token_id=sub_token.id, grace=timedelta(hours=1), actor=PLATFORM, now=datetime.now(UTC)
                )
            book.counts["rotate"] += 1
            # Only this one rotates it, so the secret before is within its grace.
            for secret in filter(None, (issued.secret, known.get(sub_token.id))):
                found = credential_for_secret(secret)
                assert found is not None, "a secret that should work is not known"
                assert found.sub_token_id == sub_token.id
            known[sub_token.id] = issued.secret

    def set_ceilings(self, book: Book, chance: random.Random) -> None:
        """Raise the ceiling of one account after the other by a little, so that they are met again and again."""
        while not self.stop.wait(0.1):
            account = chance.choice(self.limited)
            with self._turns[account.id]:
                total = self.ceilings[account.id] + CEILING_MTOK // 3
                make_limits(account, now=datetime.now(UTC), total=total)
                self.ceilings[account.id] = total
            book.counts["ceiling"] += 1

    def grant(self, book: Book, chance: random.Random) -> None:
        """Credit the wallet with Tokens that last for a few seconds."""
        while not self.stop.wait(0.4):
            self.credit(GRANTED_MTOK, seconds=chance.randint(3, 20), priority=chance.randint(1, 99))
            book.counts["grant"] += 1

    def credit(self, mtok: int, *, seconds: int, priority: int = 50) -> None:
        """Credit the wallet, for so many seconds."""
        now = datetime.now(UTC)
        grants.issue_grant(
            organization_id=self.organization.id, tokens_mtok=mtok, source=GrantSource.PURCHASE, priority=priority,
            expires_at=now + timedelta(seconds=seconds), idempotency_key=str(new_id()), now=now,
        )  # fmt: skip
        self.granted_mtok += mtok

    def verify(self, book: Book, _chance: random.Random) -> None:
        """Prove the ledger again and again: it adds up at every moment, not only at rest."""
        while not self.stop.wait(0.5):
            report = verify_ledger(now=datetime.now(UTC))
            assert report.passed, report.off
            book.counts["proof"] += 1

    def __post_init__(self) -> None:
        self._turns = {account.id: threading.Lock() for account in self.limited}
        self._shares = [self.sub_tokens[number::ROTATORS] for number in range(ROTATORS)]


def make_storm(organization: Organization, wallet: Account) -> Storm:
    """Open teams (one with Tokens of its own, one inside that with a quota, one that draws on the wallet), below each
    two sub-tokens with Tokens of their own and two that draw on it, and put a ceiling on all."""
    now = datetime.now(UTC)
    with organization_scope(organization.id):
        fenced = Team.objects.create(organization=organization, name="Fenced")
        inside = Team.objects.create(organization=organization, name="Inside", parent=fenced)
        drawing = Team.objects.create(organization=organization, name="Drawing")
        modes = {fenced: (SubTokenMode.ALLOCATED, None), inside: (SubTokenMode.CAPPED, None)}
        modes[drawing] = (SubTokenMode.CAPPED, 10_000_000)
        pools, sub_tokens = [], []
        for team, (mode, mtok) in modes.items():
            pools.append(open_pool(team_id=team.id, mode=mode, mtok=mtok, actor=PLATFORM, now=now))
            sub_tokens += [
                create_sub_token(
                    organization_id=organization.id, name=f"{team.name} {number}", team_id=team.id,
                    mode=SubTokenMode.ALLOCATED if number < 2 else SubTokenMode.CAPPED, actor=PLATFORM, now=now,
                ).sub_token
                for number in range(4)
            ]  # fmt: skip
    storm = Storm(organization, wallet, pools, sub_tokens, {})
    storm.ceilings = {account.id: CEILING_MTOK for account in storm.limited}
    storm.ceilings[wallet.id] = 8 * CEILING_MTOK
    for account in storm.limited:
        make_limits(account, now=now, total=storm.ceilings[account.id])
    return storm
