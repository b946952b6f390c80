"""`/v1/sub_tokens/...`: what becomes of sub-tokens, one by one or many at once, and whose a found secret is."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.life_serializers import BulkAnswer, BulkRequest, FoundSecret, LookupAnswer, LookupRequest
from billing.api.problems import BillingView
from billing.api.serializers import NewSubTokenAnswer, SubTokenAnswer
from billing.api.sub_tokens import answer_of
from billing.queries.secrets import secret_like, secrets_beginning
from billing.queries.sub_tokens import states
from billing.services import sub_token_bulk as bulk
from billing.services import sub_token_life as life
from tenants.api.management import management_credential, permitted
from tenants.api.rotation import RotateRequest
from tenants.api.schema import IDEMPOTENCY_KEY, WRITING, problems
from tenants.permissions import Permission


class RotateView(BillingView):
    """A new secret."""

    @extend_schema(
        operation_id="rotate_sub_token",
        summary="Give a sub-token a new secret",
        request=RotateRequest,
        examples=[OpenApiExample("Two days to change the devices", value={"grace_hours": 48}, request_only=True)],
        parameters=[IDEMPOTENCY_KEY],
        responses={200: NewSubTokenAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Give a sub-token a new secret, in this answer and nowhere else; the old one works for `grace_hours` more.

        24 hours unless said otherwise, 168 at most; with 0 the old secret is dead within one second. Rotating again
        during a grace leaves every older secret its own end, or the new grace's if that is earlier. Tokens and policy
        stay. 409 `conflict` when it is revoked. Scope `sub_tokens.manage`.
        """
        body = RotateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        issued = life.rotate_secret(
            sub_token_id=sub_token_id, grace=body.grace, actor=management_credential(request).actor, now=now
        )
        return Response({**answer_of(issued.sub_token, now), "secret": issued.secret})


class EndGraceView(BillingView):
    """The end of older secrets."""

    @extend_schema(
        operation_id="end_grace_of_sub_token",
        summary="End a sub-token's older secrets before their time",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SubTokenAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """End every secret but the newest, everywhere within one second. Without older ones nothing happens.

        Scope `sub_tokens.manage`.
        """
        now = timezone.now()
        sub_token = life.end_grace(sub_token_id=sub_token_id, actor=management_credential(request).actor, now=now)
        return Response(answer_of(sub_token, now))


class SuspendView(BillingView):
    """Stopping for a while."""

    @extend_schema(
        operation_id="suspend_sub_token",
        summary="Suspend a sub-token",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SubTokenAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Answer its calls with 403 `suspended_token`, everywhere within one second, until it is resumed.

        Calls under way are finished and charged; its Tokens and its expiry stay. Doing it again changes nothing. 409
        `conflict` when it is revoked. Scope `sub_tokens.manage`.
        """
        return _act(request, sub_token_id, life.suspend_sub_tokens)


class ResumeView(BillingView):
    """Going on."""

    @extend_schema(
        operation_id="resume_sub_token",
        summary="Resume a suspended sub-token",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SubTokenAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """Let a suspended sub-token be used again, everywhere within one second. Others stay as they are.

        409 `conflict` when it is revoked. Scope `sub_tokens.manage`.
        """
        return _act(request, sub_token_id, life.resume_sub_tokens)


class RevokeView(BillingView):
    """Ending for good."""

    @extend_schema(
        operation_id="revoke_sub_token",
        summary="Revoke a sub-token",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: SubTokenAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request, sub_token_id: uuid.UUID) -> Response:
        """End a sub-token for good, everywhere within one second. Its Tokens stay until they are reclaimed.

        Doing it again changes nothing. Scope `sub_tokens.manage`.
        """
        now = timezone.now()
        sub_token = life.revoke_sub_token(
            sub_token_id=sub_token_id, actor=management_credential(request).actor, now=now
        )
        return Response(answer_of(sub_token, now))


class BulkView(BillingView):
    """One act on many."""

    @extend_schema(
        operation_id="change_many_sub_tokens",
        summary="Revoke, suspend, resume or set the end of many sub-tokens",
        request=BulkRequest,
        examples=[
            OpenApiExample(
                "What revoking two would give back",
                value={
                    "act": "revoke",
                    "ids": ["01a1fd25-4c1a-7000-8000-000000000001", "01a1fd25-4c1a-7000-8000-000000000002"],
                    "reclaim": True,
                    "dry_run": True,
                },
                request_only=True,
            )
        ],
        parameters=[IDEMPOTENCY_KEY],
        responses={200: BulkAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.SUB_TOKENS_MANAGE)
    def post(self, request: Request) -> Response:
        """Do one act to up to 500 sub-tokens: to all of them or, if one is unknown, to none. Scope `sub_tokens.manage`.

        `revoke` ends them for good, and with `reclaim` gives what is free in them back to where it came from; `suspend`
        and `resume` stop them for a while; `expire` sets their end. `dry_run` changes nothing and tells the numbers.
        """
        body = BulkRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now, dry_run = timezone.now(), body.validated_data["dry_run"]
        if dry_run:
            summary = bulk.preview(**body.choice(now), now=now)
        else:
            summary = bulk.carry_out(**body.choice(now), actor=management_credential(request).actor, now=now)
        answer = {
            "act": summary.act,
            "dry_run": dry_run,
            "changed": [one.id for one in summary.changed],
            "unchanged": [one.id for one in summary.unchanged],
            "held_tokens": summary.held_mtok,
            "reclaimed_tokens": summary.reclaimed_mtok,
            "left_tokens": summary.left_mtok,
        }
        return Response(BulkAnswer(answer).data)


class LookupView(BillingView):
    """Whose secret is this?"""

    @extend_schema(
        operation_id="look_up_sub_token_secret",
        summary="Find the sub-token that a secret belongs to",
        request=LookupRequest,
        examples=[OpenApiExample("By its beginning", value={"prefix": "tsk_7Qf2aB9x"}, request_only=True)],
        responses={200: LookupAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.SUB_TOKENS_VIEW)
    def post(self, request: Request) -> Response:
        """Say which sub-token a secret that was found somewhere opens, and whether it still does; older secrets too.

        Give all of it, or how it begins (at most 50 are shown). What belongs to another organization is not found.
        What to do then: rotate with `grace_hours` 0, end the grace, suspend or revoke. Scope `sub_tokens.view`.
        """
        body = LookupRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now, values = timezone.now(), body.validated_data
        found = secret_like(values["secret"]) if "secret" in values else secrets_beginning(values["prefix"])
        shown = [
            {"prefix": one.prefix, "state": one.state_at(now), "ends_at": one.ends_at, "sub_token": state}
            for one, state in zip(found, states([one.sub_token for one in found], now=now), strict=True)
        ]
        return Response({"data": FoundSecret(shown, many=True).data})


def _act(request: Request, sub_token_id: uuid.UUID, act: Callable[..., life.Outcome]) -> Response:
    now = timezone.now()
    outcome = act(sub_token_ids=[sub_token_id], actor=management_credential(request).actor, now=now)
    return Response(answer_of(life.require_not_revoked(outcome), now))
