"""The public pricing page: plans, packages, and a calculator beside what a rented GPU server would cost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from billing.enums import Currency
from billing.pricing import NoPriceError, price_mtok
from billing.queries.estimates import Estimate, OnSale, cheapest, on_sale
from billing.queries.packages import packages_on_sale
from billing.queries.plans import boost_offers
from billing.queries.price_books import active_price_book
from billing.views.plan import offered
from portal.views.landing import DAYS_IN_A_MONTH, MOST_IMAGES, CalculatorForm

SECONDS_IN_A_DAY = 86_400
# What a rented server is assumed to cost in a month, and an hour of whoever keeps it, in the currency's unit.
SERVER_COSTS = {Currency.CNY: (Decimal(3_500), Decimal(150)), Currency.USD: (Decimal(480), Decimal(45))}


class ComparisonForm(CalculatorForm):
    """The calculator, with the assumptions of the comparison, each of which can be changed."""

    peak = forms.DecimalField(
        label=_("Peak hour, times the average"), min_value=1, max_value=24, initial=4, decimal_places=1,
        max_digits=4,
    )  # fmt: skip
    server_price = forms.DecimalField(
        label=_("A GPU server costs per month"), min_value=0, max_value=1_000_000, decimal_places=2, max_digits=10
    )
    server_speed = forms.DecimalField(
        label=_("Images per second that it runs"), min_value=Decimal("0.1"), max_value=100_000, initial=60,
        decimal_places=1, max_digits=8,
    )  # fmt: skip
    care_hours = forms.DecimalField(
        label=_("Hours of care per month"), min_value=0, max_value=1_000, initial=6, decimal_places=1, max_digits=6
    )
    care_price = forms.DecimalField(
        label=_("An hour of care costs"), min_value=0, max_value=100_000, decimal_places=2, max_digits=10
    )

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        server, hour = SERVER_COSTS[Currency(currency)]
        self.fields["server_price"].initial, self.fields["care_price"].initial = server, hour


@dataclass(frozen=True)
class Comparison:
    """A month by the Token beside a month of servers. Amounts in mtok, money in minor units, without tax.

    `estimate` is None where no plan that is sold carries the peak.
    """

    image_mtok: int
    month_images: int
    month_mtok: int
    peak_per_second: Decimal
    estimate: Estimate | None
    servers: int
    servers_minor: int
    care_minor: int

    @property
    def own_minor(self) -> int:
        return self.servers_minor + self.care_minor

    @property
    def saved_minor(self) -> int | None:
        """Return how much less a month by the Token costs; below 0, how much more."""
        return None if self.estimate is None else self.own_minor - self.estimate.total_minor

    @property
    def more_minor(self) -> int:
        """Return how much more a month by the Token costs, 0 where it does not."""
        return max(0, -(self.saved_minor or 0))


@dataclass(frozen=True)
class Assumed:
    """What the comparison takes for granted of the work and of servers; money in the currency's unit."""

    letter: str
    img_size: int
    peak: Decimal
    server_price: Decimal
    server_speed: Decimal
    care_hours: Decimal
    care_price: Decimal


def compare(images_per_day: int, assumed: Assumed, sale: OnSale) -> Comparison:
    """Reckon a month of 30 days by the price book in force. Raises NoPriceError.

    Servers are as many as the peak needs, at least one; each needs the same care.
    """
    image_mtok = price_mtok(active_price_book(), letter=assumed.letter, img_size=assumed.img_size)
    return _reckon(images_per_day, image_mtok, assumed, sale)


def break_even(assumed: Assumed, sale: OnSale) -> int | None:
    """Return from how many images a day on servers cost less, to two digits; None if the Token is never cheaper.

    Found by halving: with the work the bill of the Token grows faster than that of servers does.
    """
    image_mtok = price_mtok(active_price_book(), letter=assumed.letter, img_size=assumed.img_size)

    def is_cheaper(images_per_day: int) -> bool:
        return (_reckon(images_per_day, image_mtok, assumed, sale).saved_minor or 0) > 0

    low, high = 1, MOST_IMAGES
    if not is_cheaper(low):
        return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if is_cheaper(middle) else (low, middle)
    step = 10 ** max(0, len(str(low)) - 2)
    return low // step * step


def _reckon(images_per_day: int, image_mtok: int, assumed: Assumed, sale: OnSale) -> Comparison:
    month_images = images_per_day * DAYS_IN_A_MONTH
    peak_per_second = Decimal(images_per_day) * assumed.peak / SECONDS_IN_A_DAY
    servers = max(1, int((peak_per_second / assumed.server_speed).to_integral_value(ROUND_CEILING)))
    peak_hour_mtok = int((Decimal(images_per_day) * assumed.peak / 24 * image_mtok).to_integral_value(ROUND_CEILING))
    return Comparison(
        image_mtok=image_mtok,
        month_images=month_images,
        month_mtok=image_mtok * month_images,
        peak_per_second=peak_per_second,
        estimate=cheapest(
            month_mtok=image_mtok * month_images,
            peak_per_second=peak_per_second,
            peak_hour_mtok=peak_hour_mtok,
            sale=sale,
        ),
        servers=servers,
        servers_minor=_minor(assumed.server_price * servers),
        care_minor=_minor(assumed.care_hours * assumed.care_price * servers),
    )


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    """Show what can be had at what price (`?currency=`); to htmx, only the calculator's result."""
    asked = request.GET.get("currency")
    currency = asked if asked in Currency.values else settings.TOKEN_PRICE_CURRENCY
    sent = "images_per_day" in request.GET
    form = ComparisonForm(request.GET if sent else None, currency=currency)
    values = {name: field.initial for name, field in form.fields.items()}
    if sent:
        values = form.cleaned_data if form.is_valid() else {}
    comparison = even = None
    if values:
        images_per_day, assumed, sale = values.pop("images_per_day"), Assumed(**_exact(values)), on_sale(currency)
        with suppress(NoPriceError):
            comparison, even = compare(images_per_day, assumed, sale), break_even(assumed, sale)
    context = {"form": form, "comparison": comparison, "even": even, "currency": currency}
    if request.headers.get("HX-Request"):
        return render(request, "portal/_comparison.html", context)
    context |= {
        "currencies": Currency.values,
        "offered": offered(currency),
        "packages": packages_on_sale(currency),
        "offers": boost_offers(currency),
        "sign_up_url": reverse("account_signup"),
        "assumed": [form[name] for name in ("peak", "server_price", "server_speed", "care_hours", "care_price")],
    }
    return render(request, "portal/pricing.html", context)


def _exact(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if name == "img_size" or isinstance(value, str) else Decimal(value)
        for name, value in values.items()
    }


def _minor(money: Decimal) -> int:
    return int((money * 100).to_integral_value(ROUND_CEILING))
