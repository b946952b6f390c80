"""`/v1/webhook_endpoints` and `/v1/webhook_deliveries`: addresses of the customer's, and what was sent to them."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.alert_bodies import (
    DeletedEndpoint,
    DeliveryAnswer,
    EndpointAnswer,
    EndpointChange,
    EndpointRequest,
    NewEndpointAnswer,
)
from billing.api.problems import BillingView, invalid
from billing.enums import DeliveryStatus
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services import webhooks as services
from tenants.api.management import management_credential, permitted
from tenants.api.pagination import PAGE_PARAMETERS, paginate
from tenants.api.problems import Problem
from tenants.api.schema import IDEMPOTENCY_KEY, READING, WRITING, page_of, problems
from tenants.permissions import Permission

EXAMPLE = OpenApiExample(
    "An ERP that wants to know when Tokens run out",
    value={
        "name": "ERP",
        "kind": "signed",
        "url": "https://erp.example.com/tokensight",
        "rules": ["pool_used", "tokens_exhausted"],
    },
    request_only=True,
)


class EndpointListView(BillingView):
    """All endpoints, and making one."""

    @extend_schema(
        operation_id="webhook_endpoints",
        summary="List webhook endpoints, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("WebhookEndpointPage", EndpointAnswer), **problems(*READING, 422)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def get(self, request: Request) -> Response:
        """List the endpoints, never their secrets. Scope `webhooks.manage`."""
        page = paginate(request, WebhookEndpoint.objects.all())
        return Response(page.answer(EndpointAnswer(page.rows, many=True).data))

    @extend_schema(
        operation_id="create_webhook_endpoint",
        summary="Make a webhook endpoint",
        request=EndpointRequest,
        examples=[EXAMPLE],
        parameters=[IDEMPOTENCY_KEY],
        responses={201: NewEndpointAnswer, **problems(*WRITING)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def post(self, request: Request) -> Response:
        """Make an endpoint. Its signing secret is in this answer and nowhere else. Scope `webhooks.manage`."""
        body = EndpointRequest(data=request.data)
        body.is_valid(raise_exception=True)
        credential = management_credential(request)
        endpoint, secret = services.create_endpoint(
            organization_id=credential.organization_id,
            **body.validated_data,
            actor=credential.actor,
            now=timezone.now(),
        )
        return Response(_with_secret(endpoint, secret), status=201)


class EndpointView(BillingView):
    """One endpoint."""

    @extend_schema(
        operation_id="webhook_endpoint",
        summary="Show a webhook endpoint",
        responses={200: EndpointAnswer, **problems(*READING, 404)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def get(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        """Show an endpoint, never its secret. Scope `webhooks.manage`."""
        return Response(EndpointAnswer(services.find_endpoint(endpoint_id)).data)

    @extend_schema(
        operation_id="change_webhook_endpoint",
        summary="Change a webhook endpoint",
        request=EndpointChange,
        examples=[OpenApiExample("Turn it off", value={"enabled": False}, request_only=True)],
        responses={200: EndpointAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def patch(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        """Change what is given, and leave the rest. Turned on again, it gets what waits. Scope `webhooks.manage`."""
        body = EndpointChange(data=request.data)
        body.is_valid(raise_exception=True)
        changed = services.change_endpoint(
            endpoint_id=endpoint_id,
            **body.validated_data,
            actor=management_credential(request).actor,
            now=timezone.now(),
        )
        return Response(EndpointAnswer(changed).data)

    @extend_schema(
        operation_id="delete_webhook_endpoint",
        summary="Delete a webhook endpoint",
        request=None,
        responses={200: DeletedEndpoint, **problems(*WRITING, 404)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def delete(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        """Delete an endpoint with its deliveries, also those that wait. Scope `webhooks.manage`."""
        deleted = services.delete_endpoint(
            endpoint_id=endpoint_id, actor=management_credential(request).actor, now=timezone.now()
        )
        return Response({"deleted_deliveries": deleted})


class TestEndpointView(BillingView):
    """Trying an endpoint."""

    __test__ = False

    @extend_schema(
        operation_id="test_webhook_endpoint",
        summary="Send a test to a webhook endpoint",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: DeliveryAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def post(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        """Send an event of type `test`, also when the endpoint is off. Scope `webhooks.manage`."""
        delivery = services.send_test(
            endpoint_id=endpoint_id, actor=management_credential(request).actor, now=timezone.now()
        )
        return Response(DeliveryAnswer(delivery).data, status=202)


class RotateEndpointView(BillingView):
    """A new secret."""

    @extend_schema(
        operation_id="rotate_webhook_endpoint",
        summary="Give a webhook endpoint a new signing secret",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: NewEndpointAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def post(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        """Make a new secret, in this answer and nowhere else; for 24 hours the one before signs along.

        409 `conflict` for an endpoint of kind `slack`, which is not signed. Scope `webhooks.manage`.
        """
        endpoint, secret, signed = services.rotate_secret(
            endpoint_id=endpoint_id, actor=management_credential(request).actor, now=timezone.now()
        )
        if not signed:
            raise Problem("conflict", "Calls of this kind are not signed.")
        return Response(_with_secret(endpoint, secret))


class DeliveryListView(BillingView):
    """What was sent to one endpoint."""

    @extend_schema(
        operation_id="webhook_deliveries",
        summary="List an endpoint's deliveries, latest first",
        parameters=[
            *PAGE_PARAMETERS,
            OpenApiParameter("status", OpenApiTypes.STR, enum=DeliveryStatus.values, description="in this state only"),
        ],
        responses={200: page_of("WebhookDeliveryPage", DeliveryAnswer), **problems(*READING, 404, 422)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def get(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        """List the deliveries of 90 days with what came of each attempt. Scope `webhooks.manage`."""
        status = request.query_params.get("status")
        if status is not None and status not in DeliveryStatus.values:
            raise invalid("status", "There is no such state.")
        deliveries = WebhookDelivery.objects.filter(endpoint=services.find_endpoint(endpoint_id))
        page = paginate(request, deliveries.filter(status=status) if status else deliveries)
        return Response(page.answer(DeliveryAnswer(page.rows, many=True).data))


class ResendView(BillingView):
    """Sending again."""

    @extend_schema(
        operation_id="resend_webhook_delivery",
        summary="Send a delivery once more",
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses={202: DeliveryAnswer, **problems(*WRITING, 404)},
    )
    @permitted(Permission.WEBHOOKS_MANAGE)
    def post(self, request: Request, delivery_id: uuid.UUID) -> Response:
        """Send it again with the same id and body, whatever became of it. Scope `webhooks.manage`."""
        delivery = services.resend(
            delivery_id=delivery_id, actor=management_credential(request).actor, now=timezone.now()
        )
        return Response(DeliveryAnswer(delivery).data, status=202)


def _with_secret(endpoint: WebhookEndpoint, secret: str) -> dict[str, Any]:
    endpoint_body: dict[str, Any] = dict(EndpointAnswer(endpoint).data)
    return {**endpoint_body, "secret": secret or None}
