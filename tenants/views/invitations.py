"""Inviting people, and the page that an invitation's mail leads to."""

from __future__ import annotations

from uuid import UUID

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from tenants.client_ip import client_ip
from tenants.errors import NotFound, TenantsError
from tenants.forms import InvitationForm
from tenants.models import User
from tenants.queries.invitations import invitation_by_secret
from tenants.services.invitations import accept_invitation, invite, is_invited, resend_invitation, revoke_invitation
from tenants.views.access import ConsoleRequest, actor_of, console_page

# The session's key under which the sign-up form finds the address that was invited.
INVITED = "invited"


@console_page("members.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_new(request: ConsoleRequest) -> HttpResponse:
    """Invite somebody by mail."""
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            invitation = invite(
                organization_id=request.organization.id,
                email=form.cleaned_data["email"],
                role=form.cleaned_data["role"],
                days=form.cleaned_data["days"],
                actor=actor_of(request),
                now=timezone.now(),
            )
        except TenantsError as error:
            form.add_error("email", str(error))
        else:
            messages.success(request, _("A mail is on its way to %(email)s.") % {"email": invitation.email})
            return redirect("members", request.organization.slug)
    return render(request, "tenants/invitation_form.html", {"form": form})


@console_page("members.manage")
@require_POST
def invitation_resend(request: ConsoleRequest, invitation_id: UUID) -> HttpResponse:
    """Send an invitation's mail again, with a new link."""
    try:
        invitation = resend_invitation(invitation_id=invitation_id, actor=actor_of(request), now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except TenantsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("A new mail is on its way to %(email)s.") % {"email": invitation.email})
    return redirect("members", request.organization.slug)


@console_page("members.manage")
@require_POST
def invitation_revoke(request: ConsoleRequest, invitation_id: UUID) -> HttpResponse:
    """Take an invitation back."""
    try:
        invitation = revoke_invitation(invitation_id=invitation_id, actor=actor_of(request), now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except TenantsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The invitation of %(email)s is taken back.") % {"email": invitation.email})
    return redirect("members", request.organization.slug)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("secret")
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Show an invitation to whoever has its link; a POST of the invited person accepts it.

    An unknown link is not found. Who signs up from here need not confirm the invited address once more: having the
    link proves it.
    """
    found = invitation_by_secret(secret)
    if found is None:
        raise Http404
    now = timezone.now()
    invited = request.user.is_authenticated and is_invited(found.invitation, request.user)
    if request.method == "POST" and request.user.is_authenticated:
        try:
            accept_invitation(secret=secret, user=request.user, ip=client_ip(request), now=now)
        except TenantsError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("Welcome to %(organization)s.") % {"organization": found.organization})
            return redirect("overview", found.organization.slug)
        return redirect("invitation", secret)
    status = found.invitation.status_at(now)
    if status == "open" and not request.user.is_authenticated:
        get_adapter().stash_verified_email(request, found.invitation.email)
        request.session[INVITED] = found.invitation.email
    context = {
        "invitation": found.invitation,
        "organization": found.organization,
        "status": status,
        "invited": invited,
        "known": User.objects.filter(email=found.invitation.email).exists(),
        "here": request.path,
    }
    return render(request, "tenants/invitation.html", context)
