"""Views under management keys: permission, scope and idempotency of each request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import orjson
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.authentication import ManagementCredential, ManagementKeyAuthentication
from tenants.api.credentials import refuse_frozen
from tenants.api.json import dumps
from tenants.api.problems import Problem
from tenants.api.views import ApiView
from tenants.errors import KeyInUse, KeyUsedForOther
from tenants.permissions import Permission
from tenants.queries.organizations import frozen_at
from tenants.scope import organization_scope
from tenants.services.idempotency import Outcome, do_once, do_once_apart

LONGEST_KEY = 255
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SECRET = "secret"  # noqa: S105 the name of the member

View = TypeVar("View", bound="ManagementView")
Rest = ParamSpec("Rest")
Handler = Callable[Concatenate[View, Request, Rest], Response]


class ManagementView(ApiView):
    """A view for management keys. Its methods are decorated with `permitted`."""

    authentication_classes = [ManagementKeyAuthentication]


def management_credential(request: Request) -> ManagementCredential:
    """Return the management key that the request was authenticated by."""
    return cast("ManagementCredential", request.auth)


def permitted(
    permission: Permission | None, *, scoped: bool = True, once: bool = False
) -> Callable[[Handler], Handler]:
    """Let a method run only for a key with `permission`, in one transaction and scope of the key's organization.

    None lets any key in: for what a key does to itself alone.

    In a frozen organization it only reads.

    A method that asks another service and waits for it (`scoped=False`) runs outside of any transaction, opens scopes
    itself, and does once what comes twice by `idempotency_key(request)`, which it keeps with what it makes. One that
    makes nothing to keep it with has it kept beside (`once=True`).

    A POST with an `Idempotency-Key` is done once: when it comes again, its first answer is given again, without the
    secret that it may have shown, and with `Idempotent-Replayed: true`. Refused requests may be sent again as they are.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def handle(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
            credential = management_credential(request)
            if permission is not None:
                credential.require(permission)
            if not scoped:
                with organization_scope(credential.organization_id):
                    refuse_frozen(frozen_at(credential.organization_id))
                key = idempotency_key(request) if once else None
                if key is None:
                    return handler(view, request, *args, **kwargs)
                return _answer_once(request, key, lambda: handler(view, request, *args, **kwargs), do_once_apart)
            with organization_scope(credential.organization_id):
                if request.method not in SAFE_METHODS:
                    refuse_frozen(frozen_at(credential.organization_id))
                key = idempotency_key(request) if request.method == "POST" else None
                if key is None:
                    return handler(view, request, *args, **kwargs)
                return _answer_once(request, key, lambda: handler(view, request, *args, **kwargs), do_once)

        handle.permission = permission  # type: ignore[attr-defined]
        return handle

    return decorate


def idempotency_key(request: Request) -> str | None:
    """Return the request's `Idempotency-Key`, None if it has none. Raises `invalid_request`."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise Problem("invalid_request", f"An Idempotency-Key has 1 to {LONGEST_KEY} printable ASCII characters.")
    return key


def _answer_once(request: Request, key: str, answer: Callable[[], Response], once: Callable[..., Outcome]) -> Response:
    first: list[Response] = []

    def work() -> tuple[int, str]:
        response = answer()
        first.append(response)
        return response.status_code, dumps(_without_secrets(response.data)).decode()

    try:
        outcome = once(
            organization_id=management_credential(request).organization_id,
            key=key,
            route=f"{request.method} {request.path}",
            request_hash=hashlib.sha256(orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)).hexdigest(),
            work=work,
            now=timezone.now(),
        )
    except KeyUsedForOther as error:
        raise Problem("idempotency_mismatch", str(error)) from error
    except KeyInUse as error:
        raise Problem("conflict", str(error), headers={"Retry-After": "1"}) from error
    if not outcome.replayed:
        return first[0]
    return Response(orjson.Fragment(outcome.body), status=outcome.status, headers={"Idempotent-Replayed": "true"})


def _without_secrets(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: None if name == SECRET else _without_secrets(value) for name, value in data.items()}
    return [_without_secrets(value) for value in data] if isinstance(data, list) else data
