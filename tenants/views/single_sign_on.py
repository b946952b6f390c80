"""Coming in by an organization's own provider, and the page on which its admin enters it."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urljoin

import structlog
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from tenants.client_ip import client_ip
from tenants.confined import CONFINED_TO, PASSED, confined_to
from tenants.errors import AccountExists, ProviderFailed, TenantsError
from tenants.forms import SingleSignOnForm
from tenants.gateways.oidc import Claims, authorization_url, discover, redeem
from tenants.models import SingleSignOn, User
from tenants.services import single_sign_on as service
from tenants.views.access import ConsoleRequest, actor_of, console_page

log = structlog.get_logger(__name__)

# What the session remembers while the browser is at the provider, and while a person decides whether to agree.
ASKED, PENDING = "sso_asked", "sso_pending"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@require_safe
@never_cache
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Send the browser to the organization's provider. Without one it is not found, like an unknown organization."""
    provider = _provider(slug)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _count in range(3))
    goal = request.GET.get("next", "")
    try:
        address = authorization_url(
            discover(provider.issuer),
            client_id=provider.client_id,
            redirect_uri=redirect_uri(),
            state=state,
            nonce=nonce,
            verifier=verifier,
        )
    except ProviderFailed as error:
        return _failed(request, provider, error)
    request.session[ASKED] = {
        "slug": slug,
        "state": state,
        "nonce": nonce,
        "verifier": verifier,
        "next": goal if goal.startswith(f"/o/{slug}/") and url_has_allowed_host_and_scheme(goal, None) else "",
    }
    return redirect(address)


@require_safe
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    """Take what the browser brings back from the provider, once, and let the person in."""
    asked = request.session.pop(ASKED, None)
    state = request.GET.get("state", "")
    if asked is None or not constant_time_compare(state, asked["state"]):
        raise Http404
    provider = _provider(asked["slug"])
    # RFC 9207: an answer of another provider than the one that was asked.
    if request.GET.get("iss", provider.issuer) != provider.issuer or "code" not in request.GET:
        return _failed(request, provider, ProviderFailed(request.GET.get("error", "no code")))
    try:
        claims = redeem(
            discover(provider.issuer),
            client_id=provider.client_id,
            client_secret=service.client_secret_of(provider),
            redirect_uri=redirect_uri(),
            code=request.GET["code"],
            verifier=asked["verifier"],
            nonce=asked["nonce"],
        )
        user = service.person_for(provider=provider, claims=claims, ip=client_ip(request), now=timezone.now())
    except AccountExists:
        request.session[PENDING] = {"slug": asked["slug"], "subject": claims.subject, "email": claims.email}
        return redirect("sso_link")
    except TenantsError as error:
        return _failed(request, provider, error)
    _let_in(request, user, provider)
    return redirect(asked["next"] or reverse("overview", args=[provider.organization.slug]))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def link(request: HttpRequest) -> HttpResponse:
    """Ask a person who has an account already to sign in to it and to agree that the provider may name it."""
    pending = request.session.get(PENDING)
    if pending is None:
        raise Http404
    provider = _provider(pending["slug"])
    own = request.user.is_authenticated and confined_to(request) is None
    if request.method == "POST" and own:
        claims = Claims(pending["subject"], pending["email"], None, "")
        try:
            service.link(
                provider=provider,
                claims=claims,
                user=request.user,  # type: ignore[arg-type]
                ip=client_ip(request),
                now=timezone.now(),
            )
        except TenantsError as error:
            return _failed(request, provider, error)
        del request.session[PENDING]
        _pass(request, provider)
        messages.success(request, _("From now on you can come in by single sign-on."))
        return redirect("overview", provider.organization.slug)
    context = {"organization": provider.organization, "email": pending["email"], "own": own, "here": request.path}
    return render(request, "tenants/sso_link.html", context)


@console_page("organization.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def single_sign_on(request: ConsoleRequest) -> HttpResponse:
    """Enter the organization's provider."""
    kept = SingleSignOn.objects.first()
    form = SingleSignOnForm(request.POST or None, kept=kept)
    if request.method == "POST" and form.is_valid():
        try:
            service.configure(
                organization_id=request.organization.id,
                **form.cleaned_data,
                actor=actor_of(request),
                now=timezone.now(),
            )
        except TenantsError as error:
            form.add_error("issuer", str(error))
        else:
            messages.success(request, _("Single sign-on is set up. Try it before you require it."))
            return redirect("single_sign_on", request.organization.slug)
    address = urljoin(settings.BASE_URL, reverse("sso", args=[request.organization.slug]))
    context = {"form": form, "kept": kept, "address": address, "redirect_uri": redirect_uri()}
    return render(request, "tenants/single_sign_on.html", context)


@console_page("organization.manage")
@require_POST
def single_sign_on_change(request: ConsoleRequest) -> HttpResponse:
    """Require single sign-on (`require`), make it optional (`optional`), or remove it (`remove`)."""
    who: dict[str, Any] = {
        "organization_id": request.organization.id,
        "actor": actor_of(request),
        "now": timezone.now(),
    }
    try:
        if "remove" in request.POST:
            service.remove(**who)
        else:
            service.require(required="require" in request.POST, **who)
    except TenantsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Saved."))
    return redirect("single_sign_on", request.organization.slug)


def redirect_uri() -> str:
    """Return the address that providers send browsers back to, the same for every organization."""
    return urljoin(settings.BASE_URL, reverse("sso_callback"))


def _provider(slug: str) -> SingleSignOn:
    provider = service.provider_of(slug)
    if provider is None:
        raise Http404
    return provider


def _let_in(request: HttpRequest, user: User, provider: SingleSignOn) -> None:
    """Begin a session that sees the provider's organization alone, unless it is the person's own session already."""
    if not (request.user.is_authenticated and request.user.pk == user.pk and confined_to(request) is None):
        request.session.flush()
        login(request, user, backend=BACKEND)
        request.session[CONFINED_TO] = str(provider.organization_id)
    _pass(request, provider)


def _pass(request: HttpRequest, provider: SingleSignOn) -> None:
    request.session[PASSED] = [*request.session.get(PASSED, []), str(provider.organization_id)]
    request.session.cycle_key()
    UserSession.objects.create_from_request(request)


def _failed(request: HttpRequest, provider: SingleSignOn, error: TenantsError) -> HttpResponse:
    log.warning("sso_refused", organization=str(provider.organization_id), why=error.args, kind=type(error).__name__)
    context = {"organization": provider.organization, "text": str(error)}
    return render(request, "tenants/sso_failed.html", context, status=403)
