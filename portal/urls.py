"""Where each room's pages and API are mounted; nothing else is decided here."""

from django.urls import URLPattern, URLResolver, include, path

from portal import health, metrics
from tenants.api.document import openapi_document

handler500 = "portal.views.trouble.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    # Calls first: every address above is tried on the way to the one that is wanted.
    path("v1/", include("detection.api.urls")),
    path("v1/openapi.json", openapi_document, name="openapi"),
    path("v1/", include("tenants.api.urls")),
    path("v1/", include("billing.api.urls")),
    path("", include("portal.pages")),
    path("", include("tenants.urls")),
    path("", include("billing.views.urls")),
    path("", include("detection.views.urls")),
    path("staff/", include("portal.staff.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/second-factor/", include("allauth.mfa.urls")),
]
