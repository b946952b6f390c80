"""A month's statement reconciles with the ledger to the thousandth, or it is not given out."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test import Client

from billing.enums import AccountKind
from billing.errors import LedgerError
from billing.models import Account, Entry
from billing.queries.statements import Statement, statement
from billing.services import allocations, expiry
from billing.services.holds import Capture, capture_holds, release_holds
from billing.statement_files import statement_pdf
from tenants.identifiers import new_id
from tenants.models import Organization, Team, User
from tenants.permissions import Permission
from tenants.scope import organization_scope, platform_scope
from tests.api_client import body, manager_of
from tests.factories.billing import make_account, make_capped_account, make_grant, make_hold, make_wallet
from tests.factories.tenants import make_membership, make_team

pytestmark = pytest.mark.django_db

AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
MONTHS = [date(2026, 8, 1), date(2026, 9, 1), date(2026, 10, 1)]
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def shown(organization: Organization, month: date, team: Team | None = None) -> Statement:
    with organization_scope(organization.id):
        return statement(
            organization.id, organization=organization.name, month=month, now=NOW,
            team_id=team.id if team else None, team=team.name if team else None,
        )  # fmt: skip


def by_entries(accounts: list[Account], month: Statement) -> int:
    """Return what the entries say was captured in a month from what these accounts owned."""
    with organization_scope(accounts[0].organization_id):
        entries = Entry.objects.filter(
            account__in=accounts, transfer__kind="capture", created_at__year=month.month.year,
            created_at__month=month.month.month,
        )  # fmt: skip
        return -sum(entries.values_list("amount_mtok", flat=True))


def make_pool(wallet: Account, team: Team) -> Account:
    pool = make_account(wallet, kind=AccountKind.TEAM_POOL)
    with organization_scope(wallet.organization_id):
        Account.objects.filter(id=pool.id).update(team_id=team.id)
    return pool


def burn(account: Account, mtok: int, at: datetime) -> None:
    hold = make_hold(account, mtok, now=at)
    with platform_scope("test"):
        capture_holds(captures=[Capture(hold.hold_id, mtok, new_id())], now=at)


def live(rng: random.Random, accounts: list[Account], wallet: Account, at: datetime, number: int) -> None:
    """Let something happen at a moment, or be refused."""
    account, mtok = rng.choice(accounts), rng.randint(1, 9_000)
    act = rng.randrange(6)
    with organization_scope(wallet.organization_id):
        if act == 0:
            make_grant(wallet.organization, mtok * 3, expires_at=at + timedelta(days=rng.randint(5, 60)), now=at)
        elif act == 1 and account.mode == "ring_fenced" and account.parent_id:
            allocations.allocate(
                from_account_id=account.parent_id, to_account_id=account.id, mtok=mtok, idempotency_key=f"a{number}",
                now=at,
            )  # fmt: skip
        elif act == 2 and account.mode == "ring_fenced" and account.parent_id:
            allocations.reclaim(account_id=account.id, mtok=mtok, idempotency_key=f"r{number}", now=at)
        elif act == 3:
            hold = make_hold(account, mtok, now=at)
            with platform_scope("test"):
                release_holds(hold_ids=[hold.hold_id], now=at)
        elif act == 4:
            hold = make_hold(account, mtok, now=at)
            with platform_scope("test"):
                capture_holds(captures=[Capture(hold.hold_id, rng.randint(1, mtok), new_id())], now=at)
    if act == 5:
        expiry.expire_grants(now=at)


@pytest.mark.parametrize("seed", range(12))
def test_every_statement_of_a_random_history_reconciles(seed: int, alpha: Organization) -> None:
    rng = random.Random(seed)
    wallet = make_wallet(alpha, 60_000, now=AUGUST)
    teams = [make_team(alpha), make_team(alpha)]
    pools = [make_pool(wallet, team) for team in teams]
    with organization_scope(alpha.id):
        for number, pool in enumerate(pools):
            allocations.allocate(
                from_account_id=wallet.id, to_account_id=pool.id, mtok=12_000, idempotency_key=f"p{number}", now=AUGUST
            )
    below = [make_account(pools[0], 4_000, now=AUGUST), make_capped_account(pools[0], 9_000)]
    outside = make_capped_account(wallet, None, kind=AccountKind.TEAM_POOL)
    with organization_scope(alpha.id):
        Account.objects.filter(id=outside.id).update(team_id=teams[1].id)
    accounts = [wallet, *pools, *below, outside, make_capped_account(outside, None)]
    moments = sorted(AUGUST + timedelta(minutes=rng.randrange(92 * 24 * 60)) for _ in range(60))
    done = 0
    for number, at in enumerate(moments):
        try:
            live(rng, accounts, wallet, at, number)
            done += 1
        except LedgerError:
            continue
    assert done > 20, "too much was refused to prove anything"

    for team in (None, *teams):
        months = [shown(alpha, month, team) for month in MONTHS]
        assert [found.differences for found in months] == [[], [], []]
        assert months[0].opening_mtok == 0
        for earlier, later in pairwise(months):
            assert earlier.closing_mtok == later.opening_mtok
        with organization_scope(alpha.id):
            of_team = {teams[0]: [pools[0], *below], teams[1]: [pools[1], *accounts[-2:]]}
            mine = accounts if team is None else of_team[team]
            kept = sum(account.posted_mtok for account in Account.objects.filter(id__in=[one.id for one in mine]))
        assert months[-1].closing_mtok == kept
        for month in months:
            assert month.captured_mtok - sum(
                line.in_mtok for line in month.lines if line.kind == "drawn"
            ) == by_entries(mine, month)
    whole = [shown(alpha, month) for month in MONTHS]
    parts = [shown(alpha, month, team) for month in MONTHS for team in teams]
    assert sum(one.captured_mtok for one in whole) >= sum(one.captured_mtok for one in parts)


def test_movements_among_a_team_s_accounts_cancel_out(alpha: Organization) -> None:
    wallet = make_wallet(alpha, 60_000, now=AUGUST)
    team = make_team(alpha, "Line 3")
    pool = make_pool(wallet, team)
    with organization_scope(alpha.id):
        allocations.allocate(
            from_account_id=wallet.id, to_account_id=pool.id, mtok=10_000, idempotency_key="p", now=AUGUST
        )
    line = make_account(pool, 4_000, now=AUGUST + timedelta(days=1))
    burn(line, 700, AUGUST + timedelta(days=2))
    found = shown(alpha, MONTHS[0], team)
    assert [(row.kind, row.in_mtok, row.out_mtok) for row in found.lines] == [
        ("allocation", 10_000, 0), ("capture", 0, 700),
    ]  # fmt: skip
    assert (found.opening_mtok, found.closing_mtok, found.differences) == (0, 9_300, [])
    assert shown(alpha, MONTHS[1], team).opening_mtok == 9_300
    assert [(row.label, row.captures, row.mtok) for row in found.spenders] == [(line.label, 1, 700)]


def spoil(sql: str) -> None:
    with platform_scope("spoil"), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("spoiled", "what"),
    [
        ("UPDATE billing_account SET posted_mtok = posted_mtok + 1 WHERE kind = 'org_wallet'", "closing balance"),
        ("UPDATE billing_dailyburn SET captured_mtok = captured_mtok - 1", "captures"),
    ],
)
def test_one_that_is_off_by_a_thousandth_is_not_given_out(
    alpha: Organization, client: Client, spoiled: str, what: str
) -> None:
    wallet = make_wallet(alpha, 60_000, now=AUGUST)
    burn(wallet, 700, AUGUST + timedelta(days=2))
    client.force_login(make_membership(alpha).user)
    manager = manager_of(alpha, Permission.LEDGER_VIEW)
    august = "?month=2026-08"
    assert "59.300" in client.get(f"/o/alpha/statement/{august}").content.decode()
    spoil(spoiled)
    assert what in [name for name, _, _ in shown(alpha, MONTHS[0]).differences]
    for name in ("statement/", "statement.csv", "statement.pdf"):
        response = client.get(f"/o/alpha/{name}{august}")
        assert response.status_code == 409
        assert "Does not reconcile" in response.content.decode()
        assert "Opening balance" not in response.content.decode()
    for wanted in ("json", "csv", "pdf"):
        assert manager.get("/v1/statements", month="2026-08", **{"as": wanted}).status_code == 409


def test_the_files_and_the_api_say_the_same(alpha: Organization, client: Client) -> None:
    wallet = make_wallet(alpha, 60_000, now=AUGUST)
    team = make_team(alpha, "三号线 Line")
    pool = make_pool(wallet, team)
    with organization_scope(alpha.id):
        allocations.allocate(
            from_account_id=wallet.id, to_account_id=pool.id, mtok=10_000, idempotency_key="p", now=AUGUST
        )
    burn(pool, 1_234, AUGUST + timedelta(days=3))
    client.force_login(make_membership(alpha).user)
    query = {"month": "2026-08", "team": str(team.id)}
    assert "8,766.000" not in client.get("/o/alpha/statement/", query).content.decode()
    assert "8.766" in client.get("/o/alpha/statement/", query).content.decode()
    lines = b"".join(client.get("/o/alpha/statement.csv", query)).decode().splitlines()
    assert lines[1:5] == [
        "opening,,,0.000", "allocation,10.000,0.000,", "capture,0.000,1.234,", "closing,10.000,1.234,8.766",
    ]  # fmt: skip
    pdf = client.get("/o/alpha/statement.pdf", query)
    assert pdf["Content-Type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")
    manager = manager_of(alpha, Permission.LEDGER_VIEW)
    answer = body(manager.get("/v1/statements", **query))
    assert (answer["opening_tokens"], float(answer["closing_tokens"]), answer["team"]) == (0, 8.766, team.name)
    assert manager.get("/v1/statements", **query, **{"as": "pdf"}).content.startswith(b"%PDF-")
    for wrong in ({"month": "2026-13"}, {"team": "x"}, {"as": "doc"}):
        assert manager.get("/v1/statements", **wrong).status_code == 422


def test_a_printed_statement_has_glyphs_for_chinese(alpha: Organization) -> None:
    """Every character of the names is in the typeface: what is not would be printed as an empty box."""
    make_wallet(alpha, 1_000, now=AUGUST)
    alpha.name = "深圳电路板有限公司"
    found = shown(alpha, MONTHS[0])
    pdf = statement_pdf(found)
    assert b"ToUnicode" in pdf
    assert b"WenQuanYi" in pdf or b"wqy" in pdf.lower()


def test_an_outsider_gets_none_of_it(alpha: Organization, beta: Organization, charlie: User) -> None:
    make_wallet(alpha, 60_000, now=AUGUST)
    make_wallet(beta, 5_000, now=AUGUST)
    team = make_team(alpha)
    client = Client()
    client.force_login(charlie)
    for name in ("statement/", "statement.csv", "statement.pdf"):
        assert client.get(f"/o/alpha/{name}").status_code == 404
        assert team.name not in str(client.get(f"/o/beta/{name}", {"team": str(team.id)}).headers)
    outsider = manager_of(beta, Permission.LEDGER_VIEW)
    assert body(outsider.get("/v1/statements", month="2026-08"))["closing_tokens"] == 5
    there, nowhere = (outsider.get("/v1/statements", team=one) for one in (str(team.id), str(new_id())))
    assert there.status_code == nowhere.status_code == 422
