"""Leaving for a page of Stripe's."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def leave_for(request: HttpRequest, url: str) -> HttpResponse:
    """Send a browser to a page of Stripe's.

    By a page of ours that goes on at once: a form may lead to this portal alone (form-action of our content security
    policy), which browsers also hold against the redirects that answer it.
    """
    return render(request, "billing/leaving.html", {"url": url})
