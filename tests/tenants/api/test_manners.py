"""Every request has an id and every error under /v1/ is a problem document, whichever layer it comes from."""

import re

import pytest
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from pytest_django.fixtures import Settings
from rest_framework.request import Request
from rest_framework.response import Response

from portal import urls as portal_urls
from tenants.api.views import ApiView
from tenants.models import Organization
from tests.api_client import ApiClient, body, manager_of

pytestmark = pytest.mark.django_db

PLANTED = "planted-in-an-exception"


class Broken(ApiView):
    def get(self, request: Request) -> Response:
        raise RuntimeError(PLANTED)


def broken_before_any_view(request: HttpRequest) -> None:
    raise RuntimeError(PLANTED)


urlpatterns = [path("v1/broken", Broken.as_view()), path("v1/worse", broken_before_any_view), *portal_urls.urlpatterns]


def assert_problem(response: object, status: int, code: str) -> None:
    problem = body(response)
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:tokensight:problem:{code}"
    assert problem["request_id"] == response["X-Request-Id"]
    assert problem["detail"]
    assert problem["title"]


def test_an_id_is_made() -> None:
    ids = {Client().get("/healthz")["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f-]{36}", request_id) for request_id in ids)


def test_a_sane_id_is_kept() -> None:
    assert Client().get("/healthz", headers={"X-Request-Id": "trace-0123:4.5_6"})["X-Request-Id"] == "trace-0123:4.5_6"


@pytest.mark.parametrize(
    "offered", ["short", "x" * 129, "with space inside", "a\tb56789", "<script>1</script>", "é" * 9, ""]
)
def test_any_other_id_is_replaced(offered: str) -> None:
    given = Client().get("/healthz", headers={"X-Request-Id": offered})["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", given)


@pytest.mark.parametrize("path", ["/v1/", "/v1/nothing", "/v1/sub_tokens/", "/v1/%00", "/v1/../v1/x", "/v1/é"])
def test_an_unknown_path(path: str) -> None:
    assert_problem(ApiClient().get(path), 404, "not_found")


def test_a_page_that_is_not_there_is_no_problem_document() -> None:
    assert Client().get("/nothing-here")["Content-Type"].startswith("text/html")


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("path", ["/v1/broken", "/v1/worse"])
def test_a_crash_is_a_problem_that_tells_nothing(path: str) -> None:
    response = ApiClient().get(path)
    assert_problem(response, 500, "internal_error")
    assert PLANTED not in response.content.decode()


def test_a_host_that_is_not_ours(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["tokensight.example"]
    response = Client().get("/v1/balance", headers={"Host": "evil.example"})
    assert_problem(response, 400, "invalid_request")


def test_a_method_that_is_not_there(alpha: Organization) -> None:
    response = manager_of(alpha).raw("DELETE", "/v1/sub_tokens", b"", "")
    assert_problem(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "x", "a/b/c"]
)
def test_a_wrong_content_type(alpha: Organization, content_type: str) -> None:
    response = manager_of(alpha).raw("POST", "/v1/sub_tokens", b"name=x", content_type)
    assert_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b'{"name": "\\ud800"}', b'{"name":"\\u0000"}', b"[" * 9999, b"1e999"]
)
def test_broken_json(alpha: Organization, content: bytes) -> None:
    assert_problem(manager_of(alpha).raw("POST", "/v1/sub_tokens", content, "application/json"), 400, "invalid_request")


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"1", b"null", b"true", b""])
def test_json_that_is_no_object(alpha: Organization, content: bytes) -> None:
    response = manager_of(alpha).raw("POST", "/v1/sub_tokens", content, "application/json")
    assert response.status_code in (400, 422)
    assert body(response)["code"] in ("invalid_request", "validation_error")


def test_a_body_that_is_too_large(alpha: Organization) -> None:
    content = b'{"name": "' + b"x" * (1 << 20) + b'"}'
    response = manager_of(alpha).raw("POST", "/v1/sub_tokens", content, "application/json")
    assert_problem(response, 413, "payload_too_large")


def test_an_answer_that_nobody_can_give(alpha: Organization) -> None:
    client = Client()
    secret = manager_of(alpha).secret
    response = client.get("/v1/sub_tokens", headers={"Authorization": f"Bearer {secret}", "Accept": "text/html"})
    assert_problem(response, 406, "not_acceptable")


def test_a_format_in_the_query_changes_nothing(alpha: Organization) -> None:
    assert manager_of(alpha).get("/v1/sub_tokens", format="xml").status_code == 200
