"""The splitting pages: what they show, that a preview moves nothing, and that stale numbers are refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from billing.enums import SubTokenMode
from billing.models import Account, SubToken, Transfer
from billing.queries.credentials import credential_for_secret
from billing.services import splitting
from billing.services.pools import open_pool
from billing.services.sub_token_life import revoke_sub_tokens, suspend_sub_tokens
from billing.services.sub_tokens import create_sub_token
from tenants.actors import PLATFORM
from tenants.models import Organization, Role, User
from tenants.scope import organization_scope
from tests.factories.billing import assert_ledger_clean, balance_of, make_hold, make_wallet
from tests.factories.tenants import make_membership, make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 100_000, now=timezone.now())


@pytest.fixture
def pools(alpha: Organization, wallet: Account) -> tuple[Account, Account]:
    """Two teams' pools with 30 and 20 Tokens of their own."""
    teams = [make_team(alpha, "Line 1"), make_team(alpha, "Line 2")]
    with organization_scope(alpha.id):
        one, two = (
            open_pool(team_id=team.id, mode=SubTokenMode.ALLOCATED, mtok=mtok, actor=PLATFORM, now=timezone.now())
            for team, mtok in zip(teams, (30_000, 20_000), strict=True)
        )
    return one, two


@pytest.fixture
def owner(client: Client, alice: User) -> Iterator[Client]:
    client.force_login(alice)
    return client


def free(*accounts: Account) -> list[int]:
    return [balance_of(account, now=timezone.now()).available_mtok for account in accounts]


def sliders(one: str, two: str, pools: tuple[Account, Account], was: tuple[str, str] = ("30", "20")) -> dict[str, str]:
    ids = [pool.id for pool in pools]
    return {f"to-{ids[0]}": one, f"to-{ids[1]}": two, f"was-{ids[0]}": was[0], f"was-{ids[1]}": was[1]}


def commit_of(page: str) -> dict[str, str]:
    """Return what the preview's form would send."""
    fields = dict[str, str]()
    for part in page.split('<input type="hidden" name="')[1:]:
        name, rest = part.split('"', 1)
        fields[name] = rest.split('value="', 1)[1].split('"', 1)[0]
    return fields


def test_the_tree_is_shown_and_can_be_gone_down(
    owner: Client, alpha: Organization, pools: tuple[Account, Account]
) -> None:
    page = owner.get("/o/alpha/splitting/").content.decode()
    assert "Line 1" in page
    assert f"/o/alpha/splitting/{pools[0].id}/" in page
    below = owner.get(f"/o/alpha/splitting/{pools[0].id}/").content.decode()
    assert "Has Tokens of its own" in below
    assert "Line 2" in below  # where its Tokens could be moved
    assert owner.get("/o/alpha/splitting/?q=2").context["page"].object_list[0].label == "Line 2"
    lines = list(csv.DictReader(io.StringIO(b"".join(owner.get("/o/alpha/splitting.csv")).decode())))
    assert [(line["name"], line["free"], line["free_with_below"]) for line in lines] == [
        ("", "50.000", "100.000"),
        ("Line 1", "30.000", "30.000"),
        ("Line 2", "20.000", "20.000"),
    ]


def test_what_was_stopped_below_is_shown_as_such(owner: Client, alpha: Organization, wallet: Account) -> None:
    now = timezone.now()
    with organization_scope(alpha.id):
        made = {
            name: create_sub_token(
                organization_id=alpha.id, name=name, mtok=1_000, actor=PLATFORM, now=now
            ).sub_token.id
            for name in ("Gate", "Yard", "Dock")
        }
        suspend_sub_tokens(sub_token_ids=[made["Gate"]], actor=PLATFORM, now=now)
        revoke_sub_tokens(sub_token_ids=[made["Yard"]], actor=PLATFORM, now=now)
    page = owner.get("/o/alpha/splitting/").content.decode()
    assert page.count("Suspended") == page.count("Revoked") == 1
    assert "Dock" in page


def test_a_preview_is_exact_and_moves_nothing_and_what_it_said_is_done(
    owner: Client, alpha: Organization, wallet: Account, pools: tuple[Account, Account]
) -> None:
    address = f"/o/alpha/splitting/{wallet.id}"
    page = owner.post(f"{address}/preview/", sliders("17.5", "60.001", pools)).content.decode()
    assert "40.001 Tokens given, 12.5 taken back" in page
    assert "22.499" in page  # 50 - 40.001 + 12.5
    assert free(wallet, *pools) == [50_000, 30_000, 20_000]
    make_hold(pools[0], 1_000, now=timezone.now())  # spending in between changes nothing of what was said
    owner.post(f"{address}/rearrange/", commit_of(page))
    assert free(wallet, *pools) == [22_499, 16_500, 60_001]
    assert_ledger_clean()


def test_stale_numbers_move_nothing_and_neither_does_a_second_click(
    owner: Client, alpha: Organization, wallet: Account, pools: tuple[Account, Account]
) -> None:
    address = f"/o/alpha/splitting/{wallet.id}"
    commit = commit_of(owner.post(f"{address}/preview/", sliders("25", "20", pools)).content.decode())
    with organization_scope(alpha.id):
        splitting.give(account_id=pools[0].id, mtok=1, actor=PLATFORM, now=timezone.now())
    refused = owner.post(f"{address}/rearrange/", commit, follow=True).content.decode()
    assert "Somebody moved Tokens since" in refused
    assert free(*pools) == [30_001, 20_000]
    commit = commit_of(owner.post(f"{address}/preview/", sliders("25", "20", pools)).content.decode())
    for _ in range(2):
        owner.post(f"{address}/rearrange/", commit)
    assert free(*pools) == [25_001, 20_000]


def test_what_cannot_be_is_said_in_the_preview(owner: Client, wallet: Account, pools: tuple[Account, Account]) -> None:
    address = f"/o/alpha/splitting/{wallet.id}/preview/"
    assert "Only 50 Tokens are free" in owner.post(address, sliders("80.001", "20", pools)).content.decode()
    assert "Line 1" in owner.post(address, sliders("-1", "20", pools)).content.decode()
    assert "Line 1" in owner.post(address, sliders("1.0001", "20", pools)).content.decode()
    assert owner.post(address, sliders("30", "20", pools)).content.decode().strip() == ""
    without_state = {f"change-{pools[0].id}": "-5000"}
    owner.post(f"/o/alpha/splitting/{wallet.id}/rearrange/", without_state)
    assert free(*pools) == [30_000, 20_000]


def test_give_take_move_and_end(
    owner: Client, alpha: Organization, wallet: Account, pools: tuple[Account, Account]
) -> None:
    one, two = pools
    address = f"/o/alpha/splitting/{one.id}"
    owner.post(f"{address}/give/", {"tokens": "5.5"})
    assert free(wallet, one) == [44_500, 35_500]
    owner.post(f"{address}/take/", {"tokens": "0.5"})
    owner.post(f"{address}/move/", {"to": str(two.id), "tokens": "15"})
    assert free(wallet, one, two) == [45_000, 20_000, 35_000]
    assert "has only 20 Tokens free" in owner.post(
        f"{address}/move/", {"to": str(two.id), "tokens": "20.001"}, follow=True
    ).content.decode()  # fmt: skip
    owner.post(f"{address}/end/", {"confirm_name": "line 1"})
    assert free(one) == [20_000]
    owner.post(f"{address}/end/", {"confirm_name": "Line 1"})
    assert free(wallet, one) == [65_000, 0]
    assert owner.post(f"/o/alpha/splitting/{wallet.id}/end/", {"confirm_name": ""}).status_code == HTTPStatus.NOT_FOUND
    assert_ledger_clean()


def test_a_pool_is_opened_for_a_team_and_its_ceiling_set(owner: Client, alpha: Organization, wallet: Account) -> None:
    team = make_team(alpha, "Line 3")
    assert "Teams without a pool" in owner.get("/o/alpha/splitting/").content.decode()
    owner.post(f"/o/alpha/teams/{team.id}/pool/", {"mode": "capped", "tokens": "10"})
    with organization_scope(alpha.id):
        pool = Account.objects.get(team=team)
        assert (pool.mode, pool.cap_mtok) == ("capped", 10_000)
    owner.post(f"/o/alpha/splitting/{pool.id}/ceiling/", {"tokens": ""})
    with organization_scope(alpha.id):
        pool.refresh_from_db()
        assert pool.cap_mtok is None
    assert owner.get(f"/o/alpha/splitting/{pool.id}/").status_code == HTTPStatus.OK


SPLIT = {"grant": "", "by": "equal", "tokens": "10", "count": "3", "stem": "Camera", "expires_in_days": "30"}


def test_a_split_is_worked_out_first_and_its_secrets_are_shown_once(
    owner: Client, alpha: Organization, wallet: Account
) -> None:
    address = f"/o/alpha/splitting/{wallet.id}/split/"
    assert owner.get(address).status_code == HTTPStatus.OK
    preview = owner.post(f"{address}preview/", SPLIT).content.decode()
    for text in ("3.334", "3.333", "Camera 3", "90.000"):
        assert text in preview
    with organization_scope(alpha.id):
        assert not SubToken.objects.exists()
    done = owner.post(address, SPLIT)
    assert "no-store" in done.headers["Cache-Control"]
    rows = list(csv.DictReader(io.StringIO(done.context["csv"])))
    assert [(row["name"], row["tokens"]) for row in rows] == [
        ("Camera 1", "3.334"),
        ("Camera 2", "3.333"),
        ("Camera 3", "3.333"),
    ]
    assert all(credential_for_secret(row["secret"]) for row in rows)
    assert rows[0]["secret"] in done.content.decode()
    assert rows[0]["secret"] not in owner.get("/o/alpha/sub-tokens/").content.decode()
    assert_ledger_clean()


def test_a_split_takes_a_list_or_a_file(owner: Client, alpha: Organization, wallet: Account) -> None:
    address = f"/o/alpha/splitting/{wallet.id}/split/"
    text = 'name,amount,days\nGate,12.345,7\n"Yard, north",0.001\n'
    asked = SPLIT | {"by": "amount", "tokens": "", "count": ""}
    file = SimpleUploadedFile("parts.csv", text.encode("utf-8-sig"), content_type="text/csv")
    rows = list(csv.DictReader(io.StringIO(owner.post(address, asked | {"file": file}).context["csv"])))
    assert [(row["name"], row["tokens"]) for row in rows] == [("Gate", "12.345"), ("Yard, north", "0.001")]
    formula = asked | {"rows": '"=HYPERLINK(1)",1'}
    (row,) = csv.DictReader(io.StringIO(owner.post(address, formula).context["csv"]))
    assert row["name"] == "'=HYPERLINK(1)", "a spreadsheet runs nothing that somebody named"
    weights = asked | {"by": "weight", "tokens": "7", "rows": "A,3\nB,2\nC,2"}
    rows = list(csv.DictReader(io.StringIO(owner.post(address, weights).context["csv"])))
    assert [row["tokens"] for row in rows] == ["3.000", "2.000", "2.000"]
    assert_ledger_clean()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": "100.001"}, "Only 100 Tokens are free"),
        ({"by": "weight", "rows": "A,1\nB"}, "Line 2 cannot be read"),
        ({"by": "weight", "rows": ""}, "List the parts"),
        ({"by": "amount", "rows": "A,1.0001"}, "Line 1 cannot be read"),
        ({"by": "amount", "rows": "A,1\nB,2"}, "do not sum"),
        ({"tokens": "0.002"}, "at least a thousandth"),
        ({"count": "1001"}, "1000"),
        ({"tokens": ""}, "total"),
        ({"rows": "A,,99999"}, "A:"),
    ],
)
def test_what_cannot_be_split_is_said_before_and_refused(
    owner: Client, alpha: Organization, wallet: Account, change: dict[str, str], said: str
) -> None:
    address = f"/o/alpha/splitting/{wallet.id}/split/"
    assert said in owner.post(f"{address}preview/", SPLIT | change).content.decode()
    assert owner.post(address, SPLIT | change).status_code == HTTPStatus.OK
    with organization_scope(alpha.id):
        assert not SubToken.objects.exists()
        assert Transfer.objects.filter(kind="allocation").count() == 0


def test_who_may_only_look_sees_no_sliders(client: Client, alpha: Organization, wallet: Account, pools: object) -> None:
    client.force_login(make_membership(alpha, role=Role.VIEWER).user)
    page = client.get("/o/alpha/splitting/").content.decode()
    assert "Line 1" in page
    assert "data-slider" not in page
    assert client.post(f"/o/alpha/splitting/{wallet.id}/preview/").status_code == HTTPStatus.FORBIDDEN
    client.force_login(make_membership(alpha, role=Role.BILLING).user)
    with organization_scope(alpha.id):
        pool = Account.objects.get(label="Line 1")
        SubToken.objects.all().delete()
    revoking = {"confirm_name": "Line 1", "revoke": "on"}
    assert client.post(f"/o/alpha/splitting/{pool.id}/end/", revoking).status_code == HTTPStatus.FORBIDDEN
    assert free(pool) == [30_000]
