from django.urls import path

from tenants.api.audit import AuditChainView, AuditEventExportView, AuditEventListView
from tenants.api.management_keys import CurrentKeyView, EndCurrentGraceView, RevokeCurrentView, RotateCurrentView
from tenants.api.organization import OrganizationView, SingleSignOnView
from tenants.api.people import (
    InvitationListView,
    InvitationResendView,
    InvitationRevokeView,
    MemberListView,
    MemberView,
)

urlpatterns = [
    path("audit_events", AuditEventListView.as_view()),
    path("audit_events/chain", AuditChainView.as_view()),
    path("audit_events/export", AuditEventExportView.as_view()),
    path("management_keys/current", CurrentKeyView.as_view()),
    path("management_keys/current/rotate", RotateCurrentView.as_view()),
    path("management_keys/current/end_grace", EndCurrentGraceView.as_view()),
    path("management_keys/current/revoke", RevokeCurrentView.as_view()),
    path("organization", OrganizationView.as_view()),
    path("organization", OrganizationView.as_view()),
    path("single_sign_on", SingleSignOnView.as_view()),
    path("members", MemberListView.as_view()),
    path("members/<uuid:membership_id>", MemberView.as_view()),
    path("invitations", InvitationListView.as_view()),
    path("invitations/<uuid:invitation_id>/resend", InvitationResendView.as_view()),
    path("invitations/<uuid:invitation_id>/revoke", InvitationRevokeView.as_view()),
]
