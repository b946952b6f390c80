"""What every view of the REST API shares."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api.credentials import unaccepted_credential


class ApiView(APIView):
    """A view of the REST API: JSON in and out, problems for errors, credentials only from headers.

    A subclass names its `authentication_classes`; a request that none of them accepts is refused before the view runs.
    """

    def check_permissions(self, request: Request) -> None:
        """Refuse a request without a credential that this view takes."""
        if self.authentication_classes and request.auth is None:
            raise unaccepted_credential(request)
        super().check_permissions(request)
