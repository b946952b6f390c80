"""What is taken and what is refused, and that a refusal holds and costs nothing."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from billing.queries import credentials, price_books
from detection.models import Job, ModelVersion
from detection.queries import catalogue
from detection.services import doorbell
from tenants.models import Organization
from tenants.scope import platform_scope
from tests.detection.conftest import Caller, make_caller
from tests.detection.images import jpeg_header, picture, png_header

pytestmark = pytest.mark.django_db

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "call", lambda *_: None)


def code_of(response: Any) -> str:
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"] == response["X-Request-Id"]
    return body["code"]


def untouched(caller: Caller) -> bool:
    with platform_scope("test"):
        return not Job.objects.exists() and caller.balance().held_mtok == 0


def test_the_three_forms_ask_the_same(caller: Caller) -> None:
    image = picture("JPEG")
    asked = {"img_size": 320, "conf": 0.5, "iou": 0.6, "max_det": 7, "classes": ["short", 0], "tags": {"line": "3"}}
    encoded = base64.b64encode(image).decode()
    raw = caller.send(image, prefer="respond-async", img_size="320", conf=".5", iou="0.6", max_det="7",
                      classes="short,0", tags='{"line": "3"}')  # fmt: skip
    answers = [
        raw,
        caller.post("/v1/detect", {"image": encoded, "model": "blank-n", **asked}, **ASYNC),
        caller.post("/v1/detect", {"image": f"data:image/jpeg;base64,{encoded}", "model": "blank-n", **asked}, **ASYNC),
        caller.post("/v1/detect", {"image": base64.encodebytes(image).decode(), "model": "blank-n", **asked}, **ASYNC),
        caller.client.post(
            "/v1/detect",
            {"file": SimpleUploadedFile("a.txt", image), "model": "blank-n", "img_size": "320", "conf": "0.5",
             "iou": "0.6", "max_det": "7", "classes": ["short", "0"], "tags": '{"line":"3"}'},
            headers={"Authorization": f"Bearer {caller.secret}", **ASYNC},
        ),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [202] * 5
    for answer in answers:
        job = answer.json()
        assert job["parameters"] == {"conf": 0.5, "iou": 0.6, "max_det": 7, "classes": [0, 1]}
        assert (job["img_size"], job["tags"]) == (320, {"line": "3"})
        assert job["image"]["width"] == 64
    assert len({answer.json()["image"]["sha256"] for answer in answers}) == 1
    assert caller.balance().held_mtok == 5 * 175


def test_what_is_unsaid_has_its_default(caller: Caller) -> None:
    job = caller.send(prefer="respond-async").json()
    assert job["parameters"] == {"conf": 0.25, "iou": 0.7, "max_det": 300, "classes": None}
    assert (job["img_size"], job["tags"], job["usage"]["price_tokens"]) == (640, {}, 0.7)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("img_size", ["31", "33", "1312", "0", "-32", "640.0", "big", "1e3", "\u0666\u0664\u0660"]),
        ("conf", ["-0.1", "1.1", "nan", "inf", "a", "0x1", "1e400"]),
        ("iou", ["-1", "2", "NaN"]),
        ("max_det", ["0", "301", "-1", "1.5"]),
        ("classes", ["2", "-1", "open,nothing", "99999999999"]),
        ("tags", ["x", "[]", '{"a": 1}', '{"": "x"}', '{"a b": "x"}', '{"a": {"b": "c"}}', '"x"', "{"]),
        ("confidence", ["0.5"]),
    ],
)
def test_a_wrong_parameter_is_named(caller: Caller, field: str, values: list[str]) -> None:
    for value in values:
        response = caller.send(**{field: value})
        assert (response.status_code, code_of(response)) == (422, "validation_error"), value
        assert list(response.json()["errors"]) == [field]
    assert untouched(caller)


@pytest.mark.parametrize(
    "fields",
    [
        {"img_size": "640"}, {"img_size": True}, {"img_size": 640.5}, {"img_size": 10**30}, {"conf": "0.5"},
        {"conf": True}, {"max_det": None, "conf": []}, {"classes": "open"}, {"classes": [[]]}, {"classes": [True]},
        {"classes": [1.5]}, {"classes": {}}, {"tags": []}, {"tags": {"a": None}}, {"tags": {"a": "x" * 121}},
        {"tags": {f"t{n}": "x" for n in range(17)}}, {"tags": {"a": "line\nbreak"}}, {"model": 5}, {"model": ""},
        {"model": "m" * 121}, {"extra": 1},
    ],
)  # fmt: skip
def test_json_has_types(caller: Caller, fields: dict[str, Any]) -> None:
    image = base64.b64encode(picture()).decode()
    response = caller.post("/v1/detect", {"image": image, "model": "blank-n"} | fields)
    assert (response.status_code, code_of(response)) == (422, "validation_error")
    assert untouched(caller)


def test_all_wrong_parameters_are_named_at_once(caller: Caller) -> None:
    response = caller.send(conf="2", img_size="1", model="")
    assert set(response.json()["errors"]) == {"conf", "img_size", "model"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "blank-n"}, 422, "validation_error"),
        ({"model": "blank-n", "image": None}, 422, "validation_error"),
        ({"model": "blank-n", "image_url": "https://example.com/a.jpg"}, 400, "invalid_request"),
        ({"model": "blank-n", "image": 5}, 400, "invalid_image"),
        ({"model": "blank-n", "image": "not base64!"}, 400, "invalid_image"),
        ({"model": "blank-n", "image": "bild ü"}, 400, "invalid_image"),
        ({"model": "blank-n", "image": "data:image/png,abc"}, 400, "invalid_image"),
        ({"model": "blank-n", "image": ""}, 400, "invalid_image"),
        ({"model": "blank-n", "image": base64.b64encode(b"GIF89a").decode()}, 415, "unsupported_media_type"),
        ([], 400, "invalid_request"),
        ("text", 400, "invalid_request"),
    ],
)
def test_json_that_holds_no_image(caller: Caller, body: Any, status: int, code: str) -> None:
    response = caller.client.post(
        "/v1/detect",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {caller.secret}"},
    )
    assert (response.status_code, code_of(response)) == (status, code)
    assert untouched(caller)


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/xml", "image"]
)
def test_other_content_types(caller: Caller, content_type: str) -> None:
    response = caller.client.post(
        "/v1/detect?model=blank-n", picture(), content_type=content_type, headers={"X-Auth-Token": caller.secret}
    )
    assert (response.status_code, code_of(response)) == (415, "unsupported_media_type")


@pytest.mark.parametrize("form", ["raw", "json", "multipart"])
def test_too_many_bytes_in_every_form(caller: Caller, settings: Settings, form: str) -> None:
    settings.MAX_IMAGE_BYTES = 1000
    image = picture("PNG", (64, 48)) + bytes(200_000)
    headers = {"Authorization": f"Bearer {caller.secret}"}
    match form:
        case "raw":
            response = caller.send(image)
        case "json":
            response = caller.post("/v1/detect", {"image": base64.b64encode(image).decode(), "model": "blank-n"})
        case _:
            upload = {"file": SimpleUploadedFile("a.png", image), "model": "blank-n"}
            response = caller.client.post("/v1/detect", upload, headers=headers)
    assert (response.status_code, code_of(response)) == (413, "payload_too_large")
    assert untouched(caller)


@pytest.mark.parametrize(
    ("image", "status", "code"),
    [
        (b"", 400, "invalid_image"),
        (picture("JPEG")[:3], 400, "invalid_image"),
        (picture("PNG")[:20], 400, "invalid_image"),
        (png_header(60_000, 60_000), 400, "image_too_large_to_decode"),
        (jpeg_header(60_000, 60_000), 400, "image_too_large_to_decode"),
        (b"%PDF-1.7", 415, "unsupported_media_type"),
    ],
)
def test_a_bad_image(caller: Caller, image: bytes, status: int, code: str) -> None:
    response = caller.send(image)
    assert (response.status_code, code_of(response)) == (status, code)
    assert untouched(caller)


def test_models_that_cannot_be_called(caller: Caller, alpha: Organization) -> None:
    assert code_of(caller.send(model="nobody-s-model")) == "not_found"
    assert code_of(caller.send(model="blank-n@9")) == "not_found"
    missing = caller.send(model="yolo26n")
    assert (missing.status_code, code_of(missing)) == (503, "model_not_installed")
    assert "models pull yolo26n" in missing.json()["detail"]
    limited = make_caller(alpha, 1000, models=["pcb-defect-n"])
    assert code_of(limited.send()) == "model_not_allowed"
    limited = make_caller(alpha, 1000, tasks=["segment"])
    assert code_of(limited.send()) == "task_not_allowed"
    assert untouched(caller)


def test_a_version_can_be_named(caller: Caller) -> None:
    response = caller.send(model="blank-n@1.0.0", prefer="respond-async")
    assert response.json()["model"] == {"name": "blank-n", "version": "1.0.0"}


def test_too_few_tokens(alpha: Organization, caller: Caller) -> None:
    poor = make_caller(alpha, 699)
    response = poor.send()
    assert (response.status_code, code_of(response)) == (429, "insufficient_tokens")
    body = response.json()
    assert body["top_up_url"] == f"{settings.BASE_URL}/o/alpha/billing/top-up/"
    assert (body["needed_tokens"], body["remaining_tokens"]) == (0.7, 0.699)
    assert "Retry-After" not in response
    assert untouched(poor)


def test_every_refusal_says_what_was_spent_and_is_left(alpha: Organization, version: ModelVersion) -> None:
    slow = make_caller(alpha, requests_per_second="0.001", burst=1)
    refusals = [slow.send(b"no image"), slow.send(model="nothing"), slow.send(model="yolo26n")]
    assert [code_of(refusal) for refusal in refusals] == [
        "unsupported_media_type", "not_found", "model_not_installed"
    ]  # fmt: skip
    # None of these used up the rate.
    assert slow.send(prefer="respond-async").status_code == 202
    limited = slow.send()
    assert code_of(limited) == "rate_limited"
    for refusal, left in [*((refusal, "10") for refusal in refusals), (limited, "9.3")]:
        assert (refusal["Tokens-Used"], refusal["Tokens-Remaining"]) == ("0", left)
        assert refusal["RateLimit"]


def test_who_may_not_call(caller: Caller) -> None:
    def code(**headers: str) -> tuple[int, str]:
        response = caller.client.post("/v1/detect", picture(), content_type="image/png", headers=headers)
        return response.status_code, code_of(response)

    assert code() == (401, "missing_token")
    assert code(Authorization="Bearer nonsense") == (401, "invalid_token")
    assert code(Authorization=f"Bearer {caller.secret[:-1]}") == (401, "invalid_token")
    assert untouched(caller)


def test_an_idempotency_key_makes_one_job(caller: Caller) -> None:
    first = caller.send(prefer="respond-async", headers={"Idempotency-Key": "order 7"})
    again = caller.send(prefer="respond-async", headers={"Idempotency-Key": "order 7"})
    assert first.json()["id"] == again.json()["id"]
    other = caller.send(prefer="respond-async", conf="0.5", headers={"Idempotency-Key": "order 7"})
    assert (other.status_code, code_of(other)) == (422, "idempotency_mismatch")
    assert caller.balance().held_mtok == 700


def test_an_idempotency_key_is_the_sub_token_s_own(caller: Caller, alpha: Organization) -> None:
    colleague = make_caller(alpha)
    jobs = [
        who.send(prefer="respond-async", headers={"Idempotency-Key": "7"}).json()["id"] for who in (caller, colleague)
    ]
    assert len(set(jobs)) == 2


def test_the_key_of_a_cancelled_call_is_free_again(caller: Caller) -> None:
    key = {"Idempotency-Key": "7"}
    first = caller.send(prefer="respond-async", headers=key)
    caller.post(first["Location"] + "/cancel")
    second = caller.send(prefer="respond-async", headers=key)
    assert second.json()["id"] != first.json()["id"]
    assert caller.balance().held_mtok == 700


@pytest.mark.parametrize("key", ["", " ", "ü", "x" * 256])
def test_an_idempotency_key_that_cannot_be_kept(caller: Caller, key: str) -> None:
    response = caller.send(headers={"Idempotency-Key": key})
    assert (response.status_code, code_of(response)) == (400, "invalid_request")


def test_the_clock_of_fair_share(caller: Caller, outsider: Caller) -> None:
    for _ in range(3):
        caller.send(prefer="respond-async", headers={"Cache-Control": "no-cache"})
    outsider.send(prefer="respond-async")
    with platform_scope("test"):
        order = list(
            Job.objects.order_by("priority_class", "virtual_finish", "id").values_list("sub_token", "virtual_finish")
        )
    # Their plan's weight is 8.
    assert [finish for _, finish in order] == [700 / 8, 700 / 8, 1400 / 8, 2100 / 8]
    assert outsider.sub_token.id in {owner for owner, _ in order[:2]}


def test_a_call_is_one_statement(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a process has read stays fresh for as long as this test may take.
    monkeypatch.setattr(credentials, "CACHE_SECONDS", math.inf)
    monkeypatch.setattr(price_books, "CACHE_SECONDS", math.inf)
    monkeypatch.setattr(catalogue, "FRESH_SECONDS", math.inf)
    caller.send(prefer="respond-async")
    with CaptureQueriesContext(connection) as queries:
        caller.send(prefer="respond-async")
    assert [query["sql"].split("(")[0] for query in queries] == [
        "SELECT outcome, available_mtok, job_id, refusal FROM detection_admit"
    ]


def test_an_estimate_is_the_price_and_costs_nothing(caller: Caller) -> None:
    for model, size, tokens in (("yolov8s", 640, 1.0), ("yolov8l", 960, 5.625), ("blank-n", 32, 0.01)):
        response = caller.post("/v1/estimate", {"model": model, "img_size": size})
        assert response.status_code == 200
        assert response.json()["tokens"] == tokens
    assert caller.post("/v1/estimate", {"model": "blank-n"}).json()["model"] == {
        "name": "blank-n", "version": "1.0.0", "installed": True,
    }  # fmt: skip
    assert code_of(caller.post("/v1/estimate", {"model": "blank-n", "conf": 7})) == "validation_error"
    assert code_of(caller.post("/v1/estimate", {"model": "none"})) == "not_found"
    assert untouched(caller)


def test_the_list_of_models_follows_the_policy(caller: Caller, alpha: Organization) -> None:
    models = {model["name"]: model for model in caller.get("/v1/models").json()["data"]}
    assert models["blank-n"] | {"installed": True, "price_tokens": 0.7, "version": "1.0.0"} == models["blank-n"]
    assert models["yolov8x"] | {"installed": False, "price_tokens": 4, "version": None} == models["yolov8x"]
    limited = make_caller(alpha, 0, models=["yolov8x"])
    assert [model["name"] for model in limited.get("/v1/models").json()["data"]] == ["yolov8x"]
