"""The portal's own pages."""

from django.urls import path

from portal.views import closing
from portal.views.landing import landing
from portal.views.mail import mail_detail, mail_html, mail_list
from portal.views.organizations import organization_new
from portal.views.overview import overview
from portal.views.pricing import pricing
from portal.views.reference import reference, reference_chapter

urlpatterns = [
    path("", landing, name="landing"),
    path("pricing/", pricing, name="pricing"),
    path("api/", reference, name="api_reference"),
    path("api/<slug:chapter>/", reference_chapter, name="api_chapter"),
    path("o/<slug:slug>/", overview, name="overview"),
    path("o/<slug:slug>/closing/", closing.closing, name="closing"),
    path("o/<slug:slug>/closing/request/", closing.closing_request, name="closing_request"),
    path("o/<slug:slug>/closing/undo/", closing.closing_undo, name="closing_undo"),
    path("o/<slug:slug>/closing/export.zip", closing.closing_export, name="closing_export"),
    path("organizations/new/", organization_new, name="organization_new"),
    path("dev/mail/", mail_list, name="mail_list"),
    path("dev/mail/<uuid:mail_id>/", mail_detail, name="mail_detail"),
    path("dev/mail/<uuid:mail_id>/html/", mail_html, name="mail_html"),
]
