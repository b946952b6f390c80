"""The pages of people, members, teams and keys."""

from django.urls import path

from tenants.views import (
    account,
    audit,
    invitations,
    management_keys,
    members,
    organizations,
    ownership,
    person_deletion,
    security,
    sessions,
    teams,
)

urlpatterns = [
    path("home/", account.home, name="home"),
    path("account/", account.account, name="account"),
    path("account/delete/", person_deletion.account_delete, name="account_delete"),
    path("account/sessions/", sessions.sessions, name="sessions"),
    path("account/sessions/end/", sessions.sessions_end, name="sessions_end"),
    path("o/<slug:slug>/members/", members.members, name="members"),
    path("o/<slug:slug>/members/<uuid:membership_id>/role/", members.member_role, name="member_role"),
    path("o/<slug:slug>/members/<uuid:membership_id>/remove/", members.member_remove, name="member_remove"),
    path("o/<slug:slug>/members.csv", members.members_csv, name="members_csv"),
    path("o/<slug:slug>/members/leave/", members.leave, name="leave"),
    path("o/<slug:slug>/members/invite/", invitations.invitation_new, name="invitation_new"),
    path(
        "o/<slug:slug>/invitations/<uuid:invitation_id>/resend/",
        invitations.invitation_resend,
        name="invitation_resend",
    ),
    path(
        "o/<slug:slug>/invitations/<uuid:invitation_id>/revoke/",
        invitations.invitation_revoke,
        name="invitation_revoke",
    ),
    path("invitations/<str:secret>/", invitations.invitation, name="invitation"),
    path("o/<slug:slug>/teams/", teams.teams, name="teams"),
    path("o/<slug:slug>/teams/new/", teams.team_new, name="team_new"),
    path("o/<slug:slug>/teams/<uuid:team_id>/", teams.team_change, name="team_change"),
    path("o/<slug:slug>/management-keys/", management_keys.management_keys, name="management_keys"),
    path("o/<slug:slug>/management-keys/new/", management_keys.management_key_new, name="management_key_new"),
    path("o/<slug:slug>/management-keys.csv", management_keys.management_keys_csv, name="management_keys_csv"),
    path("o/<slug:slug>/management-keys/<uuid:key_id>/", management_keys.management_key, name="management_key"),
    path(
        "o/<slug:slug>/management-keys/<uuid:key_id>/rotate/",
        management_keys.management_key_rotate,
        name="management_key_rotate",
    ),
    path(
        "o/<slug:slug>/management-keys/<uuid:key_id>/end-grace/",
        management_keys.management_key_end_grace,
        name="management_key_end_grace",
    ),
    path(
        "o/<slug:slug>/management-keys/<uuid:key_id>/revoke/",
        management_keys.management_key_revoke,
        name="management_key_revoke",
    ),
    path("o/<slug:slug>/settings/", organizations.organization_settings, name="organization_settings"),
    path("o/<slug:slug>/settings/ownership/", ownership.ownership, name="ownership"),
    path("o/<slug:slug>/ownership/", ownership.ownership_answer, name="ownership_answer"),
    path("o/<slug:slug>/security/", security.security, name="security"),
    path("o/<slug:slug>/security/second-factor/", security.second_factor, name="security_second_factor"),
    path("o/<slug:slug>/audit/", audit.audit_events, name="audit_events"),
    path("o/<slug:slug>/audit/events.csv", audit.audit_events_csv, name="audit_events_csv"),
    path("o/<slug:slug>/audit/events.jsonl", audit.audit_events_jsonl, name="audit_events_jsonl"),
]
