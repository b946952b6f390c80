"""Deleting the organization: what it means, asking for it, undoing it, and taking everything along before."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing.models import SubToken
from billing.views.balance import standing_of
from portal.services.export import export_zip
from tenants.errors import TenantsError
from tenants.models import ManagementKey, Membership
from tenants.services.audit import record
from tenants.services.closing import GRACE, request_deletion, undo_deletion
from tenants.views.access import ConsoleRequest, actor_of, console_page


@console_page("organization.view", while_closing=True)
@require_safe
def closing(request: ConsoleRequest) -> HttpResponse:
    """Say in numbers what deleting would end, or until when a deletion can be undone."""
    now = timezone.now()
    context = {
        "members": Membership.objects.count(),
        "sub_tokens": SubToken.objects.filter(revoked_at=None, expires_at__gt=now).count(),
        "keys": ManagementKey.objects.filter(revoked_at=None).count(),
        "balance": standing_of(request),
        "days": GRACE.days,
    }
    return render(request, "portal/closing.html", context)


@console_page("organization.own")
@reauthentication_required()
@require_POST
def closing_request(request: ConsoleRequest) -> HttpResponse:
    """Begin the deletion, once the organization's name was typed. Asks who it is once more."""
    if request.POST.get("confirm_name", "").strip() != request.organization.name.strip():
        messages.error(request, _("The name did not match, so nothing is deleted."))
        return redirect("closing", request.organization.slug)
    try:
        request_deletion(organization_id=request.organization.id, actor=actor_of(request), now=timezone.now())
    except TenantsError as error:
        messages.error(request, str(error))
    return redirect("closing", request.organization.slug)


@console_page("organization.own", while_closing=True)
@require_POST
def closing_undo(request: ConsoleRequest) -> HttpResponse:
    """Open the organization again."""
    try:
        undo_deletion(organization_id=request.organization.id, actor=actor_of(request), now=timezone.now())
    except TenantsError as error:
        messages.error(request, str(error))
        return redirect("closing", request.organization.slug)
    messages.success(request, _("Nothing is deleted: calls are answered again."))
    return redirect("overview", request.organization.slug)


@console_page("organization.own", while_closing=True)
@require_POST
def closing_export(request: ConsoleRequest) -> HttpResponseBase:
    """Download all that the organization has here, as a ZIP of CSV files without secrets.

    Who has not confirmed lately that it is them is asked, and led back to the page with the button: a download that
    came by itself afterwards would leave the browser on the page that asks.
    """
    try:
        _confirmed(request)
    except ReauthenticationRequired:
        messages.info(request, _("Confirm that it is you; then press Export again."))
        back = reverse("closing", args=[request.organization.slug])
        return redirect(f"{reverse('account_reauthenticate')}?{urlencode({REDIRECT_FIELD_NAME: back})}")
    record(
        organization_id=request.organization.id,
        actor=actor_of(request),
        action="organization.exported",
        target_kind="organization",
        target_id=request.organization.id,
        after={"name": request.organization.name},
        now=timezone.now(),
    )
    headers = {"Content-Disposition": f'attachment; filename="{request.organization.slug}.zip"'}
    return StreamingHttpResponse(export_zip(request.organization.id), content_type="application/zip", headers=headers)


@reauthentication_required()
def _confirmed(request: ConsoleRequest) -> None:
    """Raise ReauthenticationRequired unless the person has confirmed lately that it is them."""
