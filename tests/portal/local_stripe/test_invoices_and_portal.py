"""Invoices of single payments and the customer portal of the stand-in for Stripe, with their pages."""

from __future__ import annotations

import stripe

from tests.stripe_standin import PAID, StandIn


def test_an_invoice_of_a_one_time_payment_and_its_pages(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    client.v1.coupons.create({"id": "TENTH", "percent_off": 10, "duration": "once", "max_redemptions": 1})
    session = client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": customer.id,
            "line_items": [
                {"price_data": {"currency": "cny", "unit_amount": 995, "product_data": {"name": "Pack"}}, "quantity": 1}
            ],
            "discounts": [{"coupon": "TENTH"}],
            "automatic_tax": {"enabled": True},
            "invoice_creation": {"enabled": True, "invoice_data": {"metadata": {"payment": "1"}}},
            "success_url": "http://localhost:8000/",
        }
    )
    standin.pay(session.url, PAID)
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice.payments", "payment_intent"]})
    assert (paid.amount_subtotal, paid.total_details.amount_discount) == (995, 100)
    assert paid.amount_total == 895 + 54 == paid.invoice.total == paid.invoice.amount_paid
    assert paid.invoice.metadata.to_dict() == {"payment": "1"}
    assert paid.invoice.payments.data[0].payment.payment_intent == paid.payment_intent.id
    assert not client.v1.coupons.retrieve("TENTH").valid
    assert "9.49 CNY" in standin.http.get(paid.invoice.hosted_invoice_url).text
    assert standin.http.get(paid.invoice.invoice_pdf).content.startswith(b"%PDF")


def test_the_portal_changes_details_and_cards(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    for token in ("pm_card_visa", "pm_card_mastercard"):
        client.v1.payment_methods.attach(token, {"customer": customer.id})
    other = client.v1.customers.create({})
    foreign = client.v1.payment_methods.attach("pm_card_visa", {"customer": other.id})
    url = client.v1.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "http://localhost:8000/"}
    ).url
    second, first = client.v1.customers.payment_methods.list(customer.id).data
    standin.submit(
        url, act="details", name="Beta", email="b@example.com", country="DE", tax_id_type="eu_vat", tax_id="DE1"
    )
    standin.submit(url, act=f"default:{first.id}")
    standin.submit(url, act=f"remove:{second.id}")
    assert standin.submit(url, act=f"remove:{foreign.id}").status == 400
    found = client.v1.customers.retrieve(customer.id, {"expand": ["tax_ids"]})
    assert (found.name, found.address.country, found.tax_ids.data[0].value) == ("Beta", "DE", "DE1")
    assert found.invoice_settings.default_payment_method == first.id
    assert [method.id for method in client.v1.customers.payment_methods.list(customer.id).data] == [first.id]
    assert 'value="Beta"' in standin.http.get(url).text
    client.v1.customers.delete(customer.id)
    assert client.v1.customers.retrieve(customer.id).deleted
