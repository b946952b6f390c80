"""The portal's own pages."""

from django.urls import path

from portal.views.landing import landing

urlpatterns = [
    path("", landing, name="landing"),
]
