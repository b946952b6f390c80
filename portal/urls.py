"""Where each room's pages and API are mounted; nothing else is decided here."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
