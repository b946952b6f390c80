"""The public front page, with a calculator that asks the price book itself."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from billing.pricing import NoPriceError, price_mtok
from billing.queries.price_books import active_price_book

DAYS_IN_A_MONTH = 30
MOST_IMAGES = 100_000_000
IMG_SIZES = (320, 480, 640, 800, 960, 1280)
LETTERS = (
    ("n", _("n · nano")),
    ("s", _("s · small")),
    ("m", _("m · medium")),
    ("l", _("l · large")),
    ("x", _("x · extra large")),
)


@dataclass(frozen=True)
class Found:
    """A box on the front page's picture (640 x 640 px): x, y, width, height."""

    class_name: str
    x: int
    y: int
    width: int
    height: int


SHOWN = (
    Found("pin_hole", 412, 136, 31, 31),
    Found("short", 498, 77, 35, 35),
    Found("spurious_copper", 368, 38, 30, 31),
    Found("mouse_bite", 512, 360, 30, 30),
    Found("spurious_copper", 387, 519, 30, 30),
    Found("pin_hole", 70, 383, 30, 30),
)


class CalculatorForm(forms.Form):
    images_per_day = forms.IntegerField(
        label=_("Images a day"), min_value=1, max_value=MOST_IMAGES, initial=5_000,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )  # fmt: skip
    letter = forms.ChoiceField(label=_("Model size"), choices=LETTERS, initial="n")
    img_size = forms.TypedChoiceField(
        label=_("Inference size"), choices=[(size, f"{size} px") for size in IMG_SIZES], coerce=int, initial=640
    )


@dataclass(frozen=True)
class Quote:
    """What a month of images costs. Amounts in mtok; money in the currency's minor unit, rounded half up."""

    image_mtok: int
    month_images: int
    month_mtok: int
    month_minor: int


def quote(*, images_per_day: int, letter: str, img_size: int) -> Quote:
    """Price a month of 30 days by the active price book and the list price of a Token; raises `NoPriceError`."""
    image_mtok = price_mtok(active_price_book(), letter=letter, img_size=img_size)
    month_images = images_per_day * DAYS_IN_A_MONTH
    month_mtok = image_mtok * month_images
    return Quote(image_mtok, month_images, month_mtok, (month_mtok * settings.TOKEN_PRICE_MINOR + 500) // 1000)


def landing(request: HttpRequest) -> HttpResponse:
    """Show what Tokensight is and what it costs; to htmx, only the calculator's result (`GET /?images_per_day=...`)."""
    asked = "images_per_day" in request.GET
    form = CalculatorForm(request.GET) if asked else CalculatorForm()
    values = {name: field.initial for name, field in form.fields.items()}
    if asked:
        values = form.cleaned_data if form.is_valid() else {}
    try:
        result = quote(**values) if values else None
    except NoPriceError:
        result = None
    context = {
        "form": form,
        "quote": result,
        "found": SHOWN,
        "currency": settings.TOKEN_PRICE_CURRENCY,
        "base_url": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(
        request, "portal/_quote.html" if request.headers.get("HX-Request") else "portal/landing.html", context
    )
