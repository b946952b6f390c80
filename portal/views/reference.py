"""The API reference: where to begin, and a page for each chapter of operations. Anybody may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.views.sub_tokens import base_url
from portal.reference.chapters import CHAPTERS, Chapter
from portal.reference.document import CREDENTIALS, Operation, operations
from portal.reference.errors import errors
from portal.reference.samples import curl, python


@dataclass(frozen=True)
class Shown:
    """An operation with its samples, which bear the address that the reader reached."""

    operation: Operation
    curl: str
    python: str
    credentials: list[str]
    example: Any


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Show where to begin: credentials, a first call, what all operations have in common, and every error."""
    context = _frame(request, None) | {"errors": errors(), "contents": [(one, operations_of(one)) for one in CHAPTERS]}
    return render(request, "portal/reference/start.html", context)


@require_safe
def reference_chapter(request: HttpRequest, chapter: str) -> HttpResponse:
    """Show the operations of a chapter."""
    found = next((one for one in CHAPTERS if one.slug == chapter), None)
    if found is None:
        raise Http404
    address = base_url(request)
    context = _frame(request, found) | {"shown": [_shown(one, address) for one in operations_of(found)]}
    return render(request, "portal/reference/chapter.html", context)


def operations_of(chapter: Chapter) -> list[Operation]:
    """Return a chapter's operations, its tags in their order."""
    return [one for tag in chapter.tags for one in operations() if one.tag == tag]


def _frame(request: HttpRequest, chapter: Chapter | None) -> dict[str, Any]:
    return {"chapters": CHAPTERS, "chapter": chapter, "base_url": base_url(request)}


def _shown(operation: Operation, address: str) -> Shown:
    examples = (body.example for answer in operation.answers for body in answer.bodies if body.example is not None)
    return Shown(
        operation,
        curl(operation, address),
        python(operation, address),
        [CREDENTIALS[name] for name in operation.credentials],
        next(examples, None),
    )
