"""The public front page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def landing(request: HttpRequest) -> HttpResponse:
    """Show what Tokensight is and what it costs."""
    return render(request, "portal/landing.html")
