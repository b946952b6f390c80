"""`/v1/management_keys/current`: what a management key may know of itself and do to itself.

Making keys, and changing what another one may do, is left to people on the pages: a key that makes keys would outlive
its own revocation.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.management import management_credential, permitted
from tenants.api.refusals import TenantsView
from tenants.api.rotation import OldSecretAnswer, RotateRequest
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, problems
from tenants.models import ManagementKey
from tenants.queries.management_keys import old_secrets_of
from tenants.services import management_keys as service


class KeyFacts(serializers.Serializer):
    """What a key's row says."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="how its secret begins")
    scopes = serializers.ListField(child=serializers.CharField())
    ip_allow_list = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    last_used_ip = serializers.CharField(allow_null=True)


class KeyAnswer(KeyFacts):
    """A management key."""

    status = serializers.ChoiceField(["active", "expired", "revoked"])
    old_secrets = OldSecretAnswer(many=True, help_text="former secrets that work until their grace is over")


class NewKeySecretAnswer(KeyAnswer):
    """A key with its new secret: here and nowhere else."""

    secret = serializers.CharField(allow_null=True, help_text="shown once; null when the answer is given again")


class CurrentKeyView(TenantsView):
    """The key that is used."""

    @extend_schema(
        operation_id="current_management_key",
        summary="Show the management key that is used",
        responses={200: KeyAnswer, **problems(*READING)},
    )
    @permitted(None)
    def get(self, request: Request) -> Response:
        """Show the key's scopes, life and addresses; never its secret. Any scope."""
        return Response(_answer(ManagementKey.objects.get(id=management_credential(request).key_id)))


class RotateCurrentView(TenantsView):
    """A new secret."""

    @extend_schema(
        operation_id="rotate_current_management_key",
        summary="Give the management key that is used a new secret",
        request=RotateRequest,
        examples=[OpenApiExample("Both work for an hour", value={"grace_hours": 1}, request_only=True)],
        parameters=[IDEMPOTENCY_KEY],
        responses={200: NewKeySecretAnswer, **problems(*WRITING)},
    )
    @permitted(None)
    def post(self, request: Request) -> Response:
        """Give the key a new secret, in this answer and nowhere else; the old one works for `grace_hours` more.

        24 hours unless said otherwise, 168 at most; with 0 the old secret is dead at once. Scopes and expiry stay, so
        nothing is gained by it. Any scope.
        """
        body = RotateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        key, secret = service.rotate_management_key(
            key_id=credential.key_id, grace=body.grace, actor=credential.actor, now=timezone.now()
        )
        return Response({**_answer(key), "secret": secret})


class EndCurrentGraceView(TenantsView):
    """The end of older secrets."""

    @extend_schema(
        operation_id="end_grace_of_current_management_key",
        summary="End the older secrets of the management key that is used",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyAnswer, **problems(*WRITING)},
    )
    @permitted(None)
    def post(self, request: Request) -> Response:
        """End every secret but the newest at once, even the one that this request bears. Any scope."""
        credential = management_credential(request)
        key = service.end_grace_of_key(key_id=credential.key_id, actor=credential.actor, now=timezone.now())
        return Response(_answer(key))


class RevokeCurrentView(TenantsView):
    """Ending for good."""

    @extend_schema(
        operation_id="revoke_current_management_key",
        summary="Revoke the management key that is used",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: KeyAnswer, **problems(*WRITING)},
    )
    @permitted(None)
    def post(self, request: Request) -> Response:
        """End the key for good, at once. What it made stays. Any scope."""
        credential = management_credential(request)
        key = service.revoke_management_key(key_id=credential.key_id, actor=credential.actor, now=timezone.now())
        return Response(_answer(key))


def _answer(key: ManagementKey) -> dict[str, Any]:
    now = timezone.now()
    return {
        **KeyFacts(key).data,
        "status": key.status_at(now),
        "old_secrets": OldSecretAnswer(old_secrets_of(key, now), many=True).data,
    }
