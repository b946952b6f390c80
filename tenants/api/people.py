"""`/v1/members` and `/v1/invitations`: who belongs to the organization, and who is asked to."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.refusals import TenantsView
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.api.serializers import StrictSerializer
from tenants.models import Invitation, Membership, Role
from tenants.permissions import Permission
from tenants.queries.invitations import invitations
from tenants.services.invitations import LIFE_DAYS, LONGEST_LIFE_DAYS, invite, resend_invitation, revoke_invitation
from tenants.services.memberships import change_role, remove_member

INVITED_ROLES = [role.value for role in Role if role is not Role.OWNER]


class MemberAnswer(serializers.Serializer):
    """A person's place in the organization."""

    id = serializers.UUIDField(help_text="of the membership")
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.ChoiceField(Role.values)
    created_at = serializers.DateTimeField()


class MemberChange(StrictSerializer):
    """The member's other role."""

    role = serializers.ChoiceField(Role.values)


class InvitationRequest(StrictSerializer):
    """Whom to invite, and as what. An owner is made of a member."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(INVITED_ROLES)
    expires_in_days = serializers.IntegerField(min_value=1, max_value=LONGEST_LIFE_DAYS, default=LIFE_DAYS)


class InvitationAnswer(serializers.Serializer):
    """An invitation. Its link is in the mail alone."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = serializers.ChoiceField(INVITED_ROLES)
    status = serializers.ChoiceField(["open", "expired", "accepted", "revoked"])
    invited_by = serializers.CharField(source="invited_by_name")
    sent_at = serializers.DateTimeField()
    sent_count = serializers.IntegerField()
    expires_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()


class MemberListView(TenantsView):
    """All members."""

    @extend_schema(
        operation_id="members",
        summary="List members, latest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("MemberPage", MemberAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.MEMBERS_VIEW)
    def get(self, request: Request) -> Response:
        """List the members with their roles. Scope `members.view`."""
        page = paginate(request, Membership.objects.select_related("user"))
        return Response(page.answer(MemberAnswer(page.rows, many=True).data))


class MemberView(TenantsView):
    """One member."""

    @extend_schema(
        operation_id="change_member",
        summary="Give a member another role",
        request=MemberChange,
        responses={200: MemberAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def patch(self, request: Request, membership_id: UUID) -> Response:
        """Change a member's role. The owner role is given and taken by owners alone, on the members page.

        Scope `members.manage`.
        """
        body = MemberChange(data=request.data)
        body.is_valid(raise_exception=True)
        membership = change_role(
            membership_id=membership_id,
            role=body.validated_data["role"],
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(MemberAnswer(membership).data)

    @extend_schema(
        operation_id="remove_member",
        summary="Take a member out",
        responses={204: None, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def delete(self, request: Request, membership_id: UUID) -> Response:
        """Take a person out of the organization. Owners are taken out by owners alone. Scope `members.manage`."""
        actor = management_credential(request).actor
        remove_member(membership_id=membership_id, actor=actor, now=timezone.now())
        return Response(status=204)


class InvitationListView(TenantsView):
    """Invitations that wait for an answer, and inviting somebody."""

    @extend_schema(
        operation_id="invitations",
        summary="List open and expired invitations, latest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("InvitationPage", InvitationAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.MEMBERS_VIEW)
    def get(self, request: Request) -> Response:
        """List the invitations that are neither accepted nor revoked. Scope `members.view`."""
        page = paginate(request, invitations())
        return Response(page.answer([_answer(row) for row in page.rows]))

    @extend_schema(
        operation_id="invite",
        summary="Invite somebody by mail",
        request=InvitationRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: InvitationAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def post(self, request: Request) -> Response:
        """Send a mail whose link lets the person with this confirmed address in.

        409 `conflict` when the address is a member's or invited already. Scope `members.manage`.
        """
        body = InvitationRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        invitation = invite(
            organization_id=credential.organization_id,
            email=body.validated_data["email"],
            role=body.validated_data["role"],
            days=body.validated_data["expires_in_days"],
            actor=credential.actor,
            now=timezone.now(),
        )
        return Response(_answer(invitation), status=201)


class InvitationResendView(TenantsView):
    """An invitation's mail once more."""

    @extend_schema(
        operation_id="resend_invitation",
        summary="Send an invitation again",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: InvitationAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def post(self, request: Request, invitation_id: UUID) -> Response:
        """Send a new link, which works for 7 days; the one before is dead.

        409 `conflict` within a minute of the last mail, or when the invitation is over. Scope `members.manage`.
        """
        actor = management_credential(request).actor
        return Response(_answer(resend_invitation(invitation_id=invitation_id, actor=actor, now=timezone.now())))


class InvitationRevokeView(TenantsView):
    """Taking an invitation back."""

    @extend_schema(
        operation_id="revoke_invitation",
        summary="Take an invitation back",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: InvitationAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.MEMBERS_MANAGE)
    def post(self, request: Request, invitation_id: UUID) -> Response:
        """Take an invitation back: its link is dead. 409 `conflict` when it is over. Scope `members.manage`."""
        actor = management_credential(request).actor
        return Response(_answer(revoke_invitation(invitation_id=invitation_id, actor=actor, now=timezone.now())))


def _answer(invitation: Invitation) -> dict[str, Any]:
    invitation.status = invitation.status_at(timezone.now())  # type: ignore[attr-defined]
    return InvitationAnswer(invitation).data
