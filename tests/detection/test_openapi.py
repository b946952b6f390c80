"""The whole API against its own description: whatever is sent, no server error, and no answer that is not described."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pytest_django.fixtures import Settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from detection.services import doorbell
from portal.wsgi import application
from tenants.models import Organization
from tests.api_client import manager_of
from tests.detection.conftest import Caller
from tests.detection.images import picture
from tests.factories.billing import assert_ledger_clean

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.slow, pytest.mark.timeout(900)]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# 503 may be said of a model that is listed but not installed, and of buying where it is not set up, as here.
HONEST = {"model_not_installed", "payments_unavailable"}
EFFORT = effort(
    max_examples=20, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)
    settings.DETECT_WAIT_SECONDS = 0


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_keeps_to_its_description(caller: Caller, alpha: Organization, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", application)
    job_id = caller.send(prefer="respond-async").json()["id"]
    known_good = {
        "POST /v1/detect": {"model": "blank-n", "image": base64.b64encode(picture()).decode()},
        "POST /v1/estimate": {"model": "blank-n"},
    }
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {"POST /v1/detect", "GET /v1/jobs/{job_id}", "GET /v1/balance"} <= {each.label for each in operations}
    seen: set[tuple[str, int]] = set()
    for operation in operations:
        schemes = [name for way in operation.definition.raw.get("security", []) for name in way]
        for scheme in schemes:
            # A key of its own for each operation: some end the key that they are called with.
            secret = caller.secret if scheme == "subToken" else manager_of(alpha).secret
            headers = {"Authorization": f"Bearer {secret}"}
            statuses = _try(operation, mode, headers, str(job_id))
            if body := known_good.get(operation.label):
                statuses |= {_call(operation.Case(body=body, media_type="application/json"), headers)}
            seen |= {(operation.label, status) for status in statuses}
    assert {("POST /v1/detect", 202), ("POST /v1/estimate", 200)} <= seen
    if mode is GenerationMode.POSITIVE:
        assert ("GET /v1/jobs/{job_id}", 200) in seen
    assert_ledger_clean()


def _try(operation: Any, mode: GenerationMode, headers: dict[str, str], job_id: str) -> set[int]:
    """Call one operation many times, now and then with what gets further than chance would; return the statuses."""
    statuses: set[int] = set()

    @EFFORT
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def calls(case: Case, real: bool) -> None:
        if real:
            _make_real(case, job_id)
        statuses.add(_call(case, headers))

    calls()
    return statuses


def _call(case: Case, headers: dict[str, str]) -> int:
    """Send a request, hold the answer against the description, and return its status."""
    case.headers = {**(case.headers or {}), **headers}
    response = case.call()
    if response.status_code != 503 or response.json()["code"] not in HONEST:
        case.validate_response(response, checks=CHECKS)
    return int(response.status_code)


def _make_real(case: Case, job_id: str) -> None:
    if isinstance(case.body, dict) and "model" in case.body:
        case.body["model"] = "blank-n"
        if "image" in case.body:
            case.body["image"] = base64.b64encode(picture()).decode()
    elif isinstance(case.body, bytes):
        case.body = picture()
        case.query = {**(case.query or {}), "model": "blank-n"}
    if case.path_parameters and "job_id" in case.path_parameters:
        case.path_parameters["job_id"] = job_id
