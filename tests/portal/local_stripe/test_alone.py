"""The stand-in for Stripe as a program: what it keeps from run to run, and how `make run` finds a place for it."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from portal.local import payments
from portal.local.report import Failure
from portal.local.stripe.deliveries import signature
from tests.portal.local_stripe.conftest import told
from tests.ports import free_port
from tests.receiving import Receiver
from tests.stripe_standin import PATIENCE_SECONDS, WEBHOOK_SECRET, StandIn, start, stop


def test_a_second_run_knows_the_customers_of_the_first(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "stripe.json"
    first = StandIn(f"http://localhost:{port}")
    process = start(port, "--data", str(file))
    customer = first.client().v1.customers.create({"name": "Ada"}, {"idempotency_key": "one"})
    method = first.client().v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    stop(process)
    assert file.stat().st_mode & 0o777 == 0o600
    process = start(port, "--data", str(file))
    try:
        second = StandIn(f"http://localhost:{port}").client()
        assert second.v1.customers.create({"name": "Ada"}, {"idempotency_key": "one"}).id == customer.id
        paid = second.v1.payment_intents.create(
            {
                "amount": 1000,
                "currency": "cny",
                "customer": customer.id,
                "payment_method": method.id,
                "off_session": True,
                "confirm": True,
            }
        )
        assert paid.status == "succeeded"
    finally:
        stop(process)


def test_what_was_told_to_nobody_is_told_by_the_next_run_even_after_a_kill(tmp_path: Path) -> None:
    port, file, receiver = free_port(), tmp_path / "stripe.json", Receiver()
    options = ["--data", str(file), "--webhook", f"http://127.0.0.1:{free_port()}/", "--secret", WEBHOOK_SECRET]
    process = start(port, *options)
    StandIn(f"http://localhost:{port}").client().v1.customers.create({"name": "Ada"})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (file.exists() and json.loads(file.read_text())["objects"].get("event")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with receiver.running():
        options[3] = receiver.url
        process = start(port, *options)
        try:
            assert receiver.arrivals.acquire(timeout=PATIENCE_SECONDS)
            assert [event["pending_webhooks"] for event in told(StandIn(f"http://localhost:{port}"), "events")["data"]]
        finally:
            stop(process)
    assert [delivery.json["type"] for delivery in receiver.received] == ["customer.created"]


def test_the_signature_is_that_of_an_example_worked_out_by_hand() -> None:
    # printf '1492774577.{}' | openssl dgst -sha256 -hmac whsec_test
    digest = "0d0602f6611bd2252dd4b74b58a4528355a7380639a15e6cc21e3059d56d5b8b"
    assert signature(b"{}", "whsec_test", 1_492_774_577) == f"t=1492774577,v1={digest}"


@pytest.fixture
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY_FILE", "STRIPE_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_nothing_set")
class TestPlace:
    def test_a_key_means_that_there_is_a_real_stripe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert payments.port_for("127.0.0.1", 8000)
        monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_real")
        assert payments.port_for("127.0.0.1", 8000) is None

    def test_its_port_stays_and_makes_way(self) -> None:
        port = free_port()
        usual = port + payments.PORTS_BETWEEN
        assert payments.port_for("127.0.0.1", port) == usual
        with socket.socket() as other:
            other.bind(("127.0.0.1", usual))
            other.listen()
            assert payments.port_for("127.0.0.1", port) not in (usual, None)

    def test_a_port_that_was_asked_for_and_is_taken_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            monkeypatch.setenv("STRIPE_PORT", str(taken))
            with pytest.raises(Failure, match=f"Port {taken} is taken.*STRIPE_PORT={taken + 1} make run"):
                payments.port_for("127.0.0.1", 8000)

    def test_the_settings_lead_to_it_and_no_secret_is_on_its_command_line(self, tmp_path: Path) -> None:
        env = {"BASE_URL": "http://tokensight.local:8000"}
        standin = payments.stand_in(tmp_path, "127.0.0.1", 8420, env)
        assert standin.env["STRIPE_API_BASE"] == standin.url == "http://tokensight.local:8420"
        assert standin.env["STRIPE_WEBHOOK_SECRET"].startswith("whsec_")
        assert standin.env["STRIPE_WEBHOOK_SECRET"] not in " ".join(standin.command)
        assert payments.stand_in(tmp_path, "127.0.0.1", 8420, env).env == standin.env
