"""The mails that a developer's portal would have sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from csp.decorators import csp_exempt
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.mail import stored_mail, stored_mails


def development_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a page exist on a developer's machine only."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.DEVELOPMENT:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


@require_safe
@development_only
def mail_list(request: HttpRequest) -> HttpResponse:
    """List the mails, newest first."""
    return render(request, "portal/mail_list.html", {"mails": stored_mails()})


@require_safe
@development_only
def mail_detail(request: HttpRequest, mail_id: UUID) -> HttpResponse:
    """Show one mail as text, its links clickable."""
    mail = stored_mail(mail_id)
    if mail is None:
        raise Http404
    return render(request, "portal/mail_detail.html", {"mail": mail})


@csp_exempt()
@require_safe
@development_only
def mail_html(request: HttpRequest, mail_id: UUID) -> HttpResponse:
    """Show one mail as its reader's mail program would: its own styles, no scripts, nothing loaded from elsewhere."""
    mail = stored_mail(mail_id)
    if mail is None or not mail.html:
        raise Http404
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups allow-top-navigation"
    return HttpResponse(mail.html, headers={"Content-Security-Policy": policy})
