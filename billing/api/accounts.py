"""`/v1/accounts`: the tree of wallet, pools and sub-tokens, sharing Tokens out in it, and splitting them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.fields import tokens_number
from billing.api.problems import BillingView
from billing.api.splitting_serializers import (
    AccountNode,
    RearrangeAnswer,
    RearrangeRequest,
    SplitAnswer,
    SplitRequest,
)
from billing.enums import SYSTEM_KINDS
from billing.errors import AccountUnknown
from billing.models import Account
from billing.queries.tree import account_tree
from billing.services.rearranging import preview, rearrange
from billing.services.splits import SPLITTABLE, Share, amounts_of, split
from billing.services.sub_tokens import DEFAULT_LIFE, IssuedSubToken, check_expiry
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.permissions import Permission

REARRANGE = OpenApiExample(
    "From one line to another",
    value={
        "changes": [
            {"account": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f10", "tokens": -300},
            {"account": "019aa3b2-7c1e-7c3a-9a55-0d5a3b6c1f11", "tokens": 250.5},
        ],
        "dry_run": True,
    },
    request_only=True,
)
SPLIT = OpenApiExample(
    "A day's Tokens for three cameras, the busy one twice as much",
    value={
        "by": "weight",
        "tokens": 10000,
        "parts": [
            {"name": "Gate", "weight": 2},
            {"name": "Yard", "weight": 1},
            {"name": "Hall", "weight": 1, "expires_in_days": 7},
        ],
        "requests_per_second": 5,
        "ip_allow_list": ["203.0.113.0/24"],
    },
    request_only=True,
)


class AccountListView(BillingView):
    """The tree."""

    @extend_schema(
        operation_id="accounts",
        summary="List the tree of accounts, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("AccountPage", AccountNode), **problems(*READING, 422)},
    )
    @permitted(Permission.LEDGER_VIEW)
    def get(self, request: Request) -> Response:
        """List the wallet, pools and sub-tokens with what each has, holds and burns; `parent` makes the tree.

        Scope `ledger.view`.
        """
        page = paginate(request, Account.objects.exclude(kind__in=SYSTEM_KINDS))
        found = nodes_by_id(management_credential(request).organization_id, timezone.now())
        return Response(page.answer([AccountNode(found[row.id]).data for row in page.rows]))


class AccountView(BillingView):
    """One account."""

    @extend_schema(
        operation_id="account",
        summary="Show an account of the tree",
        responses={200: AccountNode, **problems(*READING, 404)},
    )
    @permitted(Permission.LEDGER_VIEW)
    def get(self, request: Request, account_id: uuid.UUID) -> Response:
        """Show what an account has, holds and burns, alone and with all that is below it. Scope `ledger.view`."""
        return Response(answer_of(request, account_id))


class RearrangeView(BillingView):
    """Sharing out anew."""

    @extend_schema(
        operation_id="rearrange_account",
        summary="Share Tokens out anew among the accounts directly below one",
        request=RearrangeRequest,
        examples=[REARRANGE],
        parameters=[IDEMPOTENCY_KEY],
        responses={200: RearrangeAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.BILLING_MANAGE)
    def post(self, request: Request, account_id: uuid.UUID) -> Response:
        """Give to some accounts directly below this one and take from others: all changes or none.

        What is taken back can be given on in the same act; grant and expiry are kept. A dry run answers what would be,
        to the thousandth, with a `state`: sent along, it lets the act fail with 409 `conflict` when somebody moved
        Tokens of these accounts since. Scope `billing.manage`.
        """
        body = RearrangeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        act: dict[str, Any] = {
            "account_id": account_id,
            "changes": {change["account"]: change["tokens"] for change in values["changes"]},
            "actor": management_credential(request).actor,
            "now": timezone.now(),
        }
        done = preview(**act) if values["dry_run"] else rearrange(**act, state=values.get("state"))
        return Response(RearrangeAnswer(done).data)


class SplitView(BillingView):
    """Splitting into sub-tokens."""

    @extend_schema(
        operation_id="split_account",
        summary="Split Tokens of a wallet or pool into many new sub-tokens",
        request=SplitRequest,
        examples=[SPLIT],
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SplitAnswer, 201: SplitAnswer, **problems(*WRITING, 404, 429)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, account_id: uuid.UUID) -> Response:
        """Make up to 1,000 sub-tokens with Tokens of their own in one act: all of them or none.

        `tokens` is divided equally or by weight, by the method of the largest remainder, so that the parts sum to it
        to the thousandth; by amount, each part says its own. From one grant, or from all in burn order. The secrets are
        in this answer and nowhere else. A dry run answers 200 with the amounts. Scope `sub_tokens.manage`.
        """
        body = SplitRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        shares = _shares(body, now)
        if body.validated_data["dry_run"]:
            if not Account.objects.filter(id=account_id, kind__in=SPLITTABLE).exists():
                raise AccountUnknown("There is no such wallet or pool.")
            return Response(_split_answer(shares, []))
        credential = management_credential(request)
        issued = split(
            organization_id=credential.organization_id,
            account_id=account_id,
            grant_id=body.validated_data.get("grant"),
            shares=shares,
            actor=credential.actor,
            now=now,
        )
        return Response(_split_answer(shares, issued), status=201)


def nodes_by_id(organization_id: uuid.UUID, now: datetime) -> dict[uuid.UUID, Any]:
    """Return every node of the tree by its account."""
    root = account_tree(organization_id, now=now)
    return {} if root is None else {node.account_id: node for node in root.walk()}


def answer_of(request: Request, account_id: uuid.UUID) -> dict[str, Any]:
    """Return the body for one account. Raises AccountUnknown."""
    node = nodes_by_id(management_credential(request).organization_id, timezone.now()).get(account_id)
    if node is None:
        raise AccountUnknown("There is no such account.")
    return AccountNode(node).data


def _shares(body: SplitRequest, now: datetime) -> list[Share]:
    values = body.validated_data
    parts = values["parts"]
    amounts = amounts_of(
        len(parts),
        total_mtok=values.get("tokens"),
        weights=[part["weight"] for part in parts] if values["by"] == "weight" else None,
        amounts_mtok=[part["tokens"] for part in parts] if values["by"] == "amount" else None,
    )
    common, policy = body.expiry(now) or now + DEFAULT_LIFE, body.policy()
    shares = []
    for part, mtok in zip(parts, amounts, strict=True):
        days = part.get("expires_in_days")
        expires_at = now + timedelta(days=days) if days else common
        check_expiry(expires_at, now)
        shares.append(Share(part["name"], mtok, expires_at, policy))
    return shares


def _split_answer(shares: list[Share], issued: list[IssuedSubToken]) -> dict[str, Any]:
    made: list[IssuedSubToken | None] = [*issued] if issued else [None] * len(shares)
    return {
        "tokens": tokens_number(sum(share.mtok for share in shares)),
        "sub_tokens": [
            {
                "id": one.sub_token.id if one else None,
                "name": share.name,
                "prefix": one.sub_token.prefix if one else None,
                "secret": one.secret if one else None,
                "tokens": tokens_number(share.mtok),
                "expires_at": share.expires_at,
            }
            for share, one in zip(shares, made, strict=True)
        ],
    }
