"""What this room refuses, as callers are told."""

from __future__ import annotations

from rest_framework.response import Response

from tenants import errors
from tenants.api.management import ManagementView
from tenants.api.problems import Problem


class TenantsView(ManagementView):
    """A view under a management key that answers this room's refusals."""

    def handle_exception(self, exc: Exception) -> Response:
        """Answer what tenants refuses with its problem."""
        return super().handle_exception(as_problem(exc) or exc)


def as_problem(error: Exception) -> Problem | None:
    """Return the problem that stands for a refusal, or None when it is no refusal of this room."""
    match error:
        case errors.NotFound():
            return Problem("not_found", "There is nothing here, or it is not yours to see.")
        case errors.OwnersOnly():
            return Problem("insufficient_scope", str(error))
        case errors.TenantsError():
            return Problem("conflict", str(error))
    return None
