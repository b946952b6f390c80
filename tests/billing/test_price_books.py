"""Price books are versions that never change; the highest one whose time has come is in force."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
import structlog
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from billing.models import PriceBook
from billing.pricing import DEFAULT_PARAMETERS, price_mtok
from billing.queries.price_books import active_price_book, forget_prices, price_book
from billing.services.price_books import set_price_book

pytestmark = pytest.mark.django_db

FLAT = {"tokens": "0.5", "minimum_tokens": "0.01"}


@pytest.fixture(autouse=True)
def _fresh_prices() -> Iterator[None]:
    forget_prices()
    yield
    forget_prices()


def test_the_first_version_has_the_two_fixed_points() -> None:
    prices = active_price_book()
    assert prices.version == 1
    assert price_mtok(prices, letter="s", img_size=640) == 1000
    assert price_mtok(prices, letter="l", img_size=960) == 5625
    assert PriceBook.objects.get(version=1).parameters == DEFAULT_PARAMETERS


def test_a_new_version_is_in_force_and_the_old_one_stays() -> None:
    book = set_price_book(scheme="flat", parameters=FLAT, active_from=timezone.now())
    assert book.version == 2
    assert active_price_book().version == 2
    assert price_mtok(active_price_book(), letter="x", img_size=1280) == 500
    assert price_mtok(price_book(1), letter="s", img_size=640) == 1000


def test_a_version_of_the_future_waits() -> None:
    set_price_book(scheme="flat", parameters=FLAT, active_from=timezone.now() + timedelta(hours=1))
    assert active_price_book().version == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_pricebook SET version = 9",
        "DELETE FROM billing_pricebook",
        "INSERT INTO billing_pricebook (version) VALUES (9)",
    ],
)
def test_the_web_s_role_may_not_write_prices(change: str) -> None:
    with (
        connection.cursor() as cursor,
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
    ):
        cursor.execute(change)


def test_the_command_shows_the_prices() -> None:
    out = StringIO()
    call_command("price_book", "show", stdout=out)
    assert "Price book 1: formula" in out.getvalue()
    assert "5.625" in out.getvalue()


def test_the_command_writes_the_next_version() -> None:
    out = StringIO()
    arguments = ["--parameters", json.dumps(FLAT), "--active-from", "2026-01-02T00:00:00Z", "--note", "sale"]
    with structlog.testing.capture_logs() as logs:
        call_command("price_book", "set", "--scheme", "flat", *arguments, stdout=out)
    (line,) = [line for line in logs if line["event"] == "price_book_set"]
    assert (line["log_level"], line["version"], line["note"]) == ("info", 2, "sale")
    book = PriceBook.objects.get(version=2)
    assert (book.scheme, book.parameters, book.note) == ("flat", FLAT, "sale")
    assert book.active_from == datetime(2026, 1, 2, tzinfo=UTC)


def test_the_command_refuses_wrong_parameters() -> None:
    with pytest.raises(CommandError, match="no parameters"):
        call_command("price_book", "set", "--scheme", "flat", "--parameters", '{"tokens": 1.5}')
    assert PriceBook.objects.count() == 1
