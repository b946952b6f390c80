"""Handing the organization over: the owner's page, and the page of the member who is asked."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import messages
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from tenants.confined import confined_to
from tenants.errors import SignInYourself, TenantsError
from tenants.models import Membership, Role
from tenants.services.ownership import accept_offer, decline_offer, offer_ownership, open_offer, withdraw_offer
from tenants.views.access import ConsoleRequest, actor_of, console_page


class MemberChoice(forms.ModelChoiceField):
    """A member, by name and mail address."""

    def label_from_instance(self, obj: Membership) -> str:
        """Return what the list shows."""
        return f"{obj.user.name} · {obj.user.email}" if obj.user.name else obj.user.email


class HandOverForm(forms.Form):
    """To whom. Needs the organization's scope."""

    member = MemberChoice(
        Membership.objects.none(), label=gettext_lazy("New owner"), empty_label=gettext_lazy("Choose a member")
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        others = Membership.objects.select_related("user").exclude(role=Role.OWNER).order_by("user__email")
        others = others.exclude(user__password__startswith=UNUSABLE_PASSWORD_PREFIX)
        self.fields["member"].queryset = others  # type: ignore[attr-defined]
        self.somebody = others.exists()


@console_page("organization.own")
@reauthentication_required(allow_get=True)
@require_http_methods(["GET", "HEAD", "POST"])
def ownership(request: ConsoleRequest) -> HttpResponse:
    """Offer the organization to a member, or take the offer back (`withdraw`). A POST asks who it is once more."""
    now, organization_id = timezone.now(), request.organization.id
    form = HandOverForm(request.POST if request.method == "POST" and "withdraw" not in request.POST else None)
    if request.method == "POST":
        try:
            if "withdraw" in request.POST:
                withdraw_offer(organization_id=organization_id, actor=actor_of(request), now=now)
                messages.success(request, _("The offer is taken back."))
                return redirect("ownership", request.organization.slug)
            if form.is_valid():
                member: Membership = form.cleaned_data["member"]
                offer_ownership(
                    organization_id=organization_id, membership_id=member.id, actor=actor_of(request), now=now
                )
                messages.success(request, _("A mail asks %(member)s to accept.") % {"member": member.user})
                return redirect("ownership", request.organization.slug)
        except TenantsError as error:
            messages.error(request, str(error))
            return redirect("ownership", request.organization.slug)
    return render(request, "tenants/ownership.html", {"form": form, "offer": open_offer(now)})


@console_page("organization.view")
@require_http_methods(["GET", "HEAD", "POST"])
def ownership_answer(request: ConsoleRequest) -> HttpResponse:
    """Let the member who is asked become the owner (`accept`), or decline. For everybody else there is nothing.

    Not in a session that a provider opened: whoever runs it could take the organization over.
    """
    now = timezone.now()
    offer = open_offer(now)
    asked = offer is not None and offer.offered_to_id == request.user.id
    if request.method == "POST":
        if not asked:
            raise Http404
        answer = accept_offer if "accept" in request.POST else decline_offer
        try:
            if answer is accept_offer and confined_to(request):
                raise SignInYourself
            answer(organization_id=request.organization.id, actor=actor_of(request), now=now)
        except TenantsError as error:
            messages.error(request, str(error))
        else:
            said = _("You are an owner now.") if answer is accept_offer else _("You have declined.")
            messages.success(request, said)
        return redirect("overview", request.organization.slug)
    return render(request, "tenants/ownership_answer.html", {"offer": offer if asked else None})
