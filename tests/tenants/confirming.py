"""A browser in which a person has just typed their password once more, as important acts ask for."""

from __future__ import annotations

from django.test import Client

from tenants.models import User
from tests.factories.tenants import PASSWORD


def confirmed(user: User) -> Client:
    """Return a browser that `user` is signed in with, and has confirmed with the password."""
    client = Client()
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client
