"""The staff console's sidebar."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

PAGES = (
    ("staff_organizations", _("Organizations"), "building"),
    ("staff_queue", _("Jobs"), "list-details"),
    ("staff_payments", _("Payments"), "credit-card"),
    ("staff_mails", _("Mails"), "mail"),
    ("staff_codes", _("Codes"), "gift"),
    ("staff_deeds", _("What staff did"), "history"),
)


@dataclass(frozen=True)
class Link:
    url: str
    label: str
    icon: str
    current: bool


Links = list[Link]


def links_of(request: HttpRequest) -> Links:
    """Return the sidebar for a page of the staff console."""
    first = reverse(PAGES[0][0])
    found = []
    for name, label, icon in PAGES:
        url = reverse(name)
        inside = request.path.startswith(f"{first}organizations/") if url == first else request.path.startswith(url)
        found.append(Link(url, str(label), icon, request.path == url or inside))
    return found
