"""How the stand-in for Stripe answers any request: keys, versions, repeated requests, refusals, pages of lists."""

from __future__ import annotations

import httpx
import pytest
import stripe

from tests.stripe_standin import SECRET_KEY, StandIn


def test_the_same_key_and_body_give_the_same_answer(client: stripe.StripeClient) -> None:
    first = client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})
    second = client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})
    assert first.id == second.id
    assert second.last_response.headers["idempotent-replayed"] == "true"
    assert len(client.v1.customers.list().data) == 1


def test_the_same_key_with_another_body_is_refused(client: stripe.StripeClient) -> None:
    client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"email": "b@example.com"}, {"idempotency_key": "one"})


def test_a_declined_charge_is_declined_again_under_its_key(client: stripe.StripeClient) -> None:
    asked = {"amount": 1000, "currency": "usd", "payment_method": "pm_card_chargeDeclined", "confirm": True}
    ids = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            client.v1.payment_intents.create(asked, {"idempotency_key": "one"})
        ids.add(refused.value.error.payment_intent.id)
    assert len(ids) == 1


def test_a_request_whose_answer_was_lost_is_not_done_twice(standin: StandIn, client: stripe.StripeClient) -> None:
    standin.go_away(after=True)
    with pytest.raises(stripe.APIError):
        client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})
    client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})
    assert len(client.v1.customers.list().data) == 1


def test_being_away_ends_after_the_asked_number_of_requests(standin: StandIn, client: stripe.StripeClient) -> None:
    standin.go_away(requests=2)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as away:
            client.v1.customers.create({})
        assert away.value.http_status == 503
    assert client.v1.customers.create({}).id.startswith("cus_")
    assert len(client.v1.customers.list().data) == 1


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"color": "red"}, "parameter_unknown", "color"),
        ({"address": {"planet": "Mars"}}, "parameter_unknown", "address[planet]"),
        ({"balance": "many"}, "parameter_invalid_integer", "balance"),
        ({"source": "tok_visa"}, "parameter_unsupported_by_stand_in", "source"),
        ({"payment_method": "pm_nothing"}, "resource_missing", "payment_method"),
    ],
)
def test_parameters_that_are_not_known_or_not_valid_are_refused(
    client: stripe.StripeClient, params: dict[str, object], code: str, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.create(params)
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)


def test_a_missing_parameter_is_named(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.create({"amount": 1000})
    assert (refused.value.code, refused.value.param) == ("parameter_missing", "currency")


def test_what_is_not_there_is_404(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.retrieve("cus_nobody")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


@pytest.mark.parametrize("key", [None, "sk_live_0123456789", "pk_test_0123456789"])
def test_only_a_secret_test_key_is_let_in(standin: StandIn, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    assert standin.http.get("/v1/customers", headers=headers).status_code == 401


def test_another_api_version_is_refused(standin: StandIn) -> None:
    headers = {"Authorization": f"Bearer {SECRET_KEY}", "Stripe-Version": "2020-08-27"}
    answer = standin.http.get("/v1/customers", headers=headers)
    assert answer.status_code == 400
    assert "2026-10-28.endive" in answer.json()["error"]["message"]


def test_every_answer_has_a_request_id_of_its_own(standin: StandIn) -> None:
    def ask() -> httpx.Response:
        return standin.http.get("/v1/customers", headers={"Authorization": f"Bearer {SECRET_KEY}"})

    ids = {ask().headers["Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(name.startswith("req_") for name in ids)


def test_lists_are_walked_page_by_page_newest_first(client: stripe.StripeClient) -> None:
    made = [client.v1.customers.create({"name": str(number)}).id for number in range(7)]
    page = client.v1.customers.list({"limit": 3})
    assert page.has_more
    assert [found.id for found in page.auto_paging_iter()] == made[::-1]
    assert client.v1.customers.list({"created": {"gt": 4_000_000_000}}).data == []
    assert [found.id for found in client.v1.customers.list({"limit": 2, "ending_before": made[4]}).data] == [
        made[6],
        made[5],
    ]


def test_a_control_that_is_no_json_is_told(standin: StandIn) -> None:
    for body in ("{", "[]"):
        answer = standin.http.post("/_config/away", content=body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Give a JSON object.")


def test_metadata_is_merged_and_an_empty_value_takes_its_key_away(client: stripe.StripeClient) -> None:
    made = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = client.v1.customers.update(made.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
