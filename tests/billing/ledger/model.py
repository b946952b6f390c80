"""The ledger as it ought to be, in plain Python: what the state machine compares the real one with."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

from billing.enums import DebtCause
from billing.models import Account, Grant, Lot
from billing.queries.balances import balances, organization_totals
from billing.queries.debts import owed_mtok
from billing.services.takebacks import take_back
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.factories.billing import (
    NOW,
    assert_ledger_clean,
)


@dataclass
class ModelLot:
    """What an account has of one grant; `order` is its place in the burn order."""

    order: tuple[int, datetime, int]
    expires_at: datetime | None
    posted: int = 0
    held: int = 0
    frozen: bool = False

    @property
    def free(self) -> int:
        return self.posted - self.held


@dataclass
class ModelAccount:
    """An account as the rules tell it: lots by grant number, or a cap over a parent."""

    row: Account
    parent: ModelAccount | None = None
    cap: int | None = None
    capped: bool = False
    drawn: int = 0
    lots: dict[int, ModelLot] = field(default_factory=dict)

    def way(self) -> tuple[ModelAccount, list[ModelAccount]]:
        """Return who pays, and the capped accounts up to there."""
        path, at = [], self
        while at.capped:
            path.append(at)
            assert at.parent
            at = at.parent
        return at, path

    def free_lots(self, now: datetime) -> list[tuple[int, ModelLot]]:
        free = [
            (grant, lot)
            for grant, lot in self.lots.items()
            if lot.free and not lot.frozen and (lot.expires_at is None or lot.expires_at > now)
        ]
        return sorted(free, key=lambda pair: pair[1].order)

    def available(self, now: datetime) -> int:
        payer, path = self.way()
        lots = sum(lot.posted - lot.held for _, lot in payer.free_lots(now))
        return min([lots, *(at.cap - at.drawn for at in path if at.cap is not None)])

    def above(self) -> list[ModelAccount]:
        return [] if self.parent is None else [self.parent, *self.parent.above()]

    def depth(self) -> int:
        return len(self.above())

    def room(self) -> int:
        return min((at.cap - at.drawn for at in self.way()[1] if at.cap is not None), default=10**15)


@dataclass
class ModelHold:
    payer: ModelAccount
    path: list[ModelAccount]
    parts: list[tuple[int, int]]
    deadline: datetime

    @property
    def amount(self) -> int:
        return sum(mtok for _, mtok in self.parts)


@dataclass
class ModelTakeBack:
    """What was paid back of a grant and is not taken yet; `waits` for what running calls hold."""

    grant: int
    reference: str
    missing: int


FAR = datetime.max.replace(tzinfo=NOW.tzinfo)


class ModelLedger(RuleBasedStateMachine):
    """The state that the rules change, how Tokens move in it, and that it agrees with the ledger after every step."""

    organization: Organization
    accounts: list[ModelAccount]
    open_holds: dict[uuid.UUID, ModelHold]
    resolved: list[uuid.UUID]
    refunded: int
    rows: dict[int, Grant]
    spent: dict[int, int]
    freezes: dict[int, set[str]]
    debts: list[int]
    taking_back: list[ModelTakeBack]
    now: datetime

    @invariant()
    def balances_agree(self) -> None:
        accounts = {account.row.id: account for account in getattr(self, "accounts", [])}
        found_lots: dict[uuid.UUID, list[tuple[int, int]]] = {account_id: [] for account_id in accounts}
        with organization_scope(self.organization.id):
            found = balances(accounts, now=self.now)
            totals = organization_totals(self.organization.id, now=self.now)
            owed = owed_mtok(self.organization.id)
            for lot in Lot.objects.filter(account_id__in=accounts, spent=False).order_by("granted_at"):
                found_lots[lot.account_id].append((lot.posted_mtok, lot.held_mtok))
        for account_id, account in accounts.items():
            assert found[account_id].available_mtok == account.available(self.now)
            assert found[account_id].drawn_mtok == account.drawn
            lots = [(lot.posted, lot.held) for _, lot in sorted(account.lots.items()) if lot.posted]
            assert found_lots[account_id] == lots
        every = [lot for account in accounts.values() for lot in account.lots.values()]
        assert totals.frozen_mtok == sum(lot.free for lot in every if lot.frozen)
        assert owed == sum(getattr(self, "debts", []))

    def teardown(self) -> None:
        assert_ledger_clean()
        with organization_scope(self.organization.id):
            assert Account.objects.get(kind="refunded").posted_mtok == self.refunded

    def _move(self, source: ModelAccount, target: ModelAccount, mtok: int) -> None:
        for grant, lot in source.free_lots(self.now):
            taken = min(lot.posted - lot.held, mtok)
            mtok -= taken
            lot.posted -= taken
            target.lots.setdefault(grant, ModelLot(lot.order, lot.expires_at)).posted += taken

    def _mark(self, number: int) -> None:
        for account in self.accounts:
            if number in account.lots:
                account.lots[number].frozen = bool(self.freezes[number])

    def _take_back(self, one: ModelTakeBack) -> None:
        asked, taken = one.missing, 0
        for account in sorted(self.accounts, key=lambda account: (account.depth(), account.row.id)):
            lot = account.lots.get(one.grant)
            if lot is None:
                continue
            part = min(lot.free, asked - taken)
            lot.posted -= part
            taken += part
            for above in account.above():
                above.drawn -= part if above.capped else 0
        one.missing -= taken
        held = sum(account.lots[one.grant].held for account in self.accounts if one.grant in account.lots)
        waits = bool(one.missing and held)
        owed = 0 if waits else min(one.missing, self.spent[one.grant])
        with organization_scope(self.organization.id):
            done = take_back(
                grant=self.rows[one.grant], mtok=asked, cause=DebtCause.REFUND, reference=one.reference,
                reason="Test", actor=PLATFORM, now=self.now,
            )  # fmt: skip
        assert (done.taken_mtok, done.owed_mtok, done.waits) == (taken, owed, waits)
        self.refunded += taken
        if waits:
            self.freezes[one.grant].add(one.reference)
            self.taking_back.append(one)
        else:
            self.freezes[one.grant].discard(one.reference)
            self.spent[one.grant] -= owed
            self.debts += [owed] if owed else []
        self._mark(one.grant)

    def _resolve(self, hold_id: uuid.UUID, captured: int) -> None:
        hold = self.open_holds.pop(hold_id)
        self.resolved.append(hold_id)
        for at in hold.path:
            at.drawn -= hold.amount - captured
        for grant, mtok in hold.parts:
            lot, burned = hold.payer.lots[grant], min(mtok, captured)
            captured -= burned
            lot.held -= mtok
            lot.posted -= burned
            self.spent[grant] += burned
