"""`/v1/organization` and `/v1/single_sign_on`: the organization's own settings."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.management import management_credential, permitted
from tenants.api.refusals import TenantsView
from tenants.api.schema import READING, WRITING, problems
from tenants.api.serializers import StrictSerializer
from tenants.errors import NotFound
from tenants.models import Organization, Role, SingleSignOn
from tenants.permissions import Permission
from tenants.services import single_sign_on
from tenants.services.organizations import rename_organization
from tenants.services.security import require_second_factor

NEWCOMERS = [role.value for role in Role if role is not Role.OWNER]


class OrganizationAnswer(serializers.Serializer):
    """The organization that the key administers."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField()
    requires_second_factor = serializers.BooleanField()
    requires_single_sign_on = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class OrganizationChange(StrictSerializer):
    """What is to be changed; what is left out stays."""

    name = serializers.CharField(max_length=120, required=False)
    requires_second_factor = serializers.BooleanField(required=False)
    requires_single_sign_on = serializers.BooleanField(required=False)


class SingleSignOnAnswer(serializers.Serializer):
    """The organization's provider. The client's secret is shown to nobody."""

    issuer = serializers.CharField()
    client_id = serializers.CharField()
    domains = serializers.ListField(child=serializers.CharField())
    default_role = serializers.ChoiceField(NEWCOMERS)
    tried_at = serializers.DateTimeField(allow_null=True, help_text="when somebody first came in by it")


class SingleSignOnRequest(StrictSerializer):
    """An OpenID Connect provider. Without `client_secret` the one that is kept stays."""

    issuer = serializers.URLField(max_length=500)
    client_id = serializers.CharField(max_length=255)
    client_secret = serializers.CharField(max_length=500, required=False, write_only=True)
    domains = serializers.ListField(
        child=serializers.RegexField(r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$", max_length=253),
        min_length=1,
        max_length=50,
    )
    default_role = serializers.ChoiceField(NEWCOMERS)


class OrganizationView(TenantsView):
    """The organization's name and what it asks of its members."""

    @extend_schema(
        operation_id="organization",
        summary="Show the organization",
        responses={200: OrganizationAnswer, **problems(*READING)},
    )
    @permitted(Permission.ORGANIZATION_VIEW)
    def get(self, request: Request) -> Response:
        """Show the organization's settings. Scope `organization.view`."""
        return Response(OrganizationAnswer(_organization(request)).data)

    @extend_schema(
        operation_id="change_organization",
        summary="Change the organization",
        request=OrganizationChange,
        responses={200: OrganizationAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.ORGANIZATION_MANAGE)
    def patch(self, request: Request) -> Response:
        """Rename it, or change what it asks of its members' sign-in; keys are never asked.

        409 `conflict` when a second factor is to be required and no owner has one, or single sign-on before anybody
        came in by it. Scope `organization.manage`.
        """
        body = OrganizationChange(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        who: dict[str, Any] = {"actor": management_credential(request).actor, "now": timezone.now()}
        organization = _organization(request)
        if "name" in values:
            rename_organization(organization=organization, name=values["name"], **who)
        if "requires_second_factor" in values:
            require_second_factor(organization_id=organization.id, required=values["requires_second_factor"], **who)
        if "requires_single_sign_on" in values:
            required = values["requires_single_sign_on"]
            single_sign_on.require(organization_id=organization.id, required=required, **who)
        return Response(OrganizationAnswer(_organization(request)).data)


class SingleSignOnView(TenantsView):
    """The organization's own OpenID Connect provider."""

    @extend_schema(
        operation_id="single_sign_on",
        summary="Show the organization's provider",
        responses={200: SingleSignOnAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.ORGANIZATION_MANAGE)
    def get(self, request: Request) -> Response:
        """Show the provider, without its secret. 404 `not_found` without one. Scope `organization.manage`."""
        kept = SingleSignOn.objects.first()
        if kept is None:
            raise NotFound
        return Response(SingleSignOnAnswer(kept).data)

    @extend_schema(
        operation_id="set_single_sign_on",
        summary="Set the organization's provider",
        request=SingleSignOnRequest,
        responses={200: SingleSignOnAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.ORGANIZATION_MANAGE)
    def put(self, request: Request) -> Response:
        """Keep a provider, which is asked about itself first; 409 `conflict` when that fails.

        Scope `organization.manage`.
        """
        body = SingleSignOnRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        kept = single_sign_on.configure(
            organization_id=credential.organization_id,
            **{"client_secret": "", **body.validated_data},
            actor=credential.actor,
            now=timezone.now(),
        )
        return Response(SingleSignOnAnswer(kept).data)

    @extend_schema(
        operation_id="remove_single_sign_on",
        summary="Remove the organization's provider",
        responses={204: None, **problems(*WRITING, 404)},
    )
    @permitted(Permission.ORGANIZATION_MANAGE)
    def delete(self, request: Request) -> Response:
        """Forget the provider and whom it named; members stay. Scope `organization.manage`."""
        credential = management_credential(request)
        single_sign_on.remove(organization_id=credential.organization_id, actor=credential.actor, now=timezone.now())
        return Response(status=204)


def _organization(request: Request) -> Organization:
    return Organization.objects.get(id=management_credential(request).organization_id)
