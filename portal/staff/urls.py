from django.urls import path

from portal.staff import code_views, payments, views

ORGANIZATION = "organizations/<uuid:organization_id>/"

urlpatterns = [
    path("", views.organizations, name="staff_organizations"),
    path("organizations.csv", views.organizations_csv, name="staff_organizations_csv"),
    path("jobs/", views.queue, name="staff_queue"),
    path("mails/", views.mails, name="staff_mails"),
    path("codes/", code_views.codes, name="staff_codes"),
    path("codes/new/", code_views.codes_new, name="staff_codes_new"),
    path("codes/<uuid:code_set_id>/", code_views.code_set, name="staff_code_set"),
    path("codes/<uuid:code_set_id>/codes.csv", code_views.code_set_csv, name="staff_code_set_csv"),
    path("codes/<uuid:code_set_id>/end/", code_views.code_set_end, name="staff_code_set_end"),
    path("payments/", payments.payments, name="staff_payments"),
    path("payments/events/", payments.events, name="staff_events"),
    path("payments/events/<uuid:event_id>/", payments.event, name="staff_event"),
    path("deeds/", views.deeds, name="staff_deeds"),
    path("impersonation/end/", views.impersonation_end, name="staff_impersonation_end"),
    path(ORGANIZATION, views.organization, name="staff_organization"),
    path(f"{ORGANIZATION}audit/", views.organization_audit, name="staff_organization_audit"),
    path(f"{ORGANIZATION}acts/<slug:act>/", views.act, name="staff_act"),
    path(f"{ORGANIZATION}acts/<slug:act>/<uuid:target_id>/", views.act, name="staff_act_on"),
    path(f"{ORGANIZATION}members/<uuid:membership_id>/impersonate/", views.impersonate, name="staff_impersonate"),
]
