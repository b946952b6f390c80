from django.urls import path

from tenants.api.audit import AuditChainView, AuditEventExportView, AuditEventListView
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
    path("members", MemberListView.as_view()),
    path("members/<uuid:membership_id>", MemberView.as_view()),
    path("invitations", InvitationListView.as_view()),
    path("invitations/<uuid:invitation_id>/resend", InvitationResendView.as_view()),
    path("invitations/<uuid:invitation_id>/revoke", InvitationRevokeView.as_view()),
]
