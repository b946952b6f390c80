"""The playground: one picture through one model, with its price before and its bill after."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from billing.pricing import NoPriceError, price_mtok
from billing.queries.balances import balance
from billing.queries.credentials import credential_for_sub_token
from billing.queries.price_books import active_price_book
from detection.enums import FINISHED, JobStatus
from detection.forms import PlaygroundForm, UploadForm
from detection.models import Job
from detection.services.run import Call, Submission, detect
from detection.views.drawing import drawing
from tenants.api.problems import Problem
from tenants.client_ip import client_ip
from tenants.scope import organization_scope
from tenants.views.access import ConsoleRequest, console_page

# Run below what is shown at first, so that the slider can go down without another call.
CONF = "0.1"
WAIT_SECONDS = 20.0
SAMPLES = settings.BASE_DIR / "detection" / "catalog" / "pcb-defect-n" / "samples"

MEANING = {
    "payload_too_large": _("The file is too large."),
    "unsupported_media_type": _("This picture cannot be read: send JPEG, PNG, WebP or BMP."),
    "invalid_image": _("The picture is damaged or empty."),
    "image_too_large_to_decode": _("The picture has too many pixels."),
    "debt_outstanding": _("Your organization owes Tokens, and spends nothing until the next top-up settles that."),
    "insufficient_tokens": _("The sub-token has too few Tokens left for this call."),
    "quota_exceeded": _("The sub-token's quota is used up."),
    "model_not_allowed": _("The sub-token may not use this model."),
    "task_not_allowed": _("The sub-token may not use this model."),
    "rate_limited": _("Too many calls a second for this sub-token. Wait a moment."),
    "concurrency_limited": _("Too many calls at once for this sub-token. Wait a moment."),
    "expired_token": _("The sub-token has expired."),
    "revoked_token": _("The sub-token was revoked."),
    "suspended_token": _("The sub-token is suspended."),
    "ip_not_allowed": _("The sub-token may not be used from your address: its policy lists others."),
    "model_not_installed": _("The model is not installed here."),
    "model_loading": _("The model could not be loaded. Try again in a moment."),
    "no_capacity": _("No worker is free right now. Try again in a moment."),
}


@console_page("playground.run")
@require_safe
def playground(request: ConsoleRequest) -> HttpResponse:
    """Show the playground (`?sub_token=` chooses one)."""
    form = PlaygroundForm(initial={"sub_token": request.GET.get("sub_token")}, now=timezone.now())
    context = {
        "form": form,
        "samples": [path.name for path in sorted(Path(SAMPLES).glob("*.jpg"))],
        "sub_tokens_there": form.fields["sub_token"].queryset.exists(),  # type: ignore[attr-defined]
        "models_there": bool(form.fields["model"].choices),  # type: ignore[attr-defined]
        "largest_megabytes": settings.MAX_IMAGE_BYTES // 1_000_000,
    }
    return render(request, "detection/playground.html", context)


@console_page("playground.run")
@require_safe
def playground_quote(request: ConsoleRequest) -> HttpResponse:
    """Return, as a fragment, what the call would cost, what is left, and the same call as curl and Python."""
    form = PlaygroundForm(request.GET, now=timezone.now())
    if not form.is_valid():
        return HttpResponse()
    choice = form.choice()
    try:
        mtok = price_mtok(
            active_price_book(), letter=choice.model.letter, img_size=choice.img_size, model=choice.model.name
        )
    except NoPriceError:
        mtok = None
    context = {
        "choice": choice,
        "price_mtok": mtok,
        "left_mtok": balance(form.cleaned_data["sub_token"].account_id).available_mtok,
        "base_url": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "detection/_playground_quote.html", context)


@console_page("playground.run", scoped=False)
@require_POST
def playground_run(request: ConsoleRequest) -> HttpResponse:
    """Run the picture and return the result as a fragment: boxes and bill, or what went wrong.

    Not inside one transaction: the worker must see the job while this view waits for it.
    """
    organization_id = request.organization.id
    upload = UploadForm(request.POST, request.FILES)
    with organization_scope(organization_id):
        form = PlaygroundForm(request.POST, now=timezone.now())
        if not (form.is_valid() and upload.is_valid()):
            return _refused(request, _("Choose a picture, a model and a sub-token."))
        choice = form.choice()
        credential = credential_for_sub_token(organization_id, choice.sub_token_id)
    if credential is None:
        raise Http404
    fields = {"model": choice.model.name, "img_size": str(choice.img_size), "conf": CONF}
    call = Call(request_id=getattr(request, "request_id", ""), client_ip=client_ip(request), wait_seconds=WAIT_SECONDS)
    try:
        credential.require_live(timezone.now())
        credential.require_address(call.client_ip)
        outcome = detect(credential, lambda: Submission(upload.cleaned_data["file"].read(), fields, textual=True), call)
    except Problem as problem:
        return _refused(request, MEANING.get(problem.code, problem.detail))
    with organization_scope(organization_id):
        return _result(request, uuid.UUID(outcome.document["id"]))


@console_page("playground.run")
@require_safe
def playground_result(request: ConsoleRequest, job_id: uuid.UUID) -> HttpResponse:
    """Return the result of a call that took longer than the page waited; asks again until it is there."""
    return _result(request, job_id)


def _result(request: ConsoleRequest, job_id: uuid.UUID) -> HttpResponse:
    job = Job.objects.select_related("model_version__model").filter(id=job_id).first()
    if job is None:
        raise Http404
    if job.status == JobStatus.FAILED:
        return _refused(request, job.error_detail or job.error_code)
    context: dict[str, Any] = {"job": job, "finished": job.status in FINISHED}
    if job.status == JobStatus.SUCCEEDED:
        credential = credential_for_sub_token(request.organization.id, job.sub_token_id)
        context["left_mtok"] = balance(credential.account_id).available_mtok if credential else None
        context["drawing"] = drawing(job.result or [], width=job.image_width, height=job.image_height)
    response = render(request, "detection/_playground_result.html", context)
    response["HX-Trigger"] = "balance-moved"
    return response


def _refused(request: ConsoleRequest, reason: Any) -> HttpResponse:
    return render(request, "detection/_playground_refused.html", {"reason": reason})
