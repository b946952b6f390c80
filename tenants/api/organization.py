"""`/v1/organization`: the organization that the management key is of."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.management import management_credential, permitted
from tenants.api.refusals import TenantsView
from tenants.api.schema import READING, WRITING, problems
from tenants.api.serializers import StrictSerializer
from tenants.models import Organization
from tenants.permissions import Permission
from tenants.services.organizations import rename_organization


class OrganizationAnswer(serializers.Serializer):
    """An organization."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    slug = serializers.CharField(help_text="its name in the addresses of its pages")
    created_at = serializers.DateTimeField()


class OrganizationChange(StrictSerializer):
    """What to change of an organization."""

    name = serializers.CharField(max_length=120)


class OrganizationView(TenantsView):
    """The organization."""

    @extend_schema(
        operation_id="organization",
        summary="Show the organization",
        responses={200: OrganizationAnswer, **problems(*READING)},
    )
    @permitted(Permission.ORGANIZATION_VIEW)
    def get(self, request: Request) -> Response:
        """Show the organization that the key is of. Scope `organization.view`."""
        return Response(OrganizationAnswer(_own(request)).data)

    @extend_schema(
        operation_id="change_organization",
        summary="Rename the organization",
        request=OrganizationChange,
        examples=[OpenApiExample("Another name", value={"name": "Alpha Works"}, request_only=True)],
        responses={200: OrganizationAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.ORGANIZATION_MANAGE)
    def patch(self, request: Request) -> Response:
        """Give the organization another name; its slug stays. Scope `organization.manage`."""
        body = OrganizationChange(data=request.data)
        body.is_valid(raise_exception=True)
        organization = _own(request)
        rename_organization(
            organization=organization,
            name=body.validated_data["name"],
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(OrganizationAnswer(organization).data)


def _own(request: Request) -> Organization:
    return Organization.objects.get(id=management_credential(request).organization_id)
