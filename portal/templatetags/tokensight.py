"""How numbers, icons and form fields look, the same on every page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms, template
from django.forms.boundfield import BoundField
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.alert_words import Words, words
from billing.enums import AlertRule
from billing.money import money_text
from detection.enums import JobError
from tenants.models import Role
from tenants.views.audit_targets import target_words
from tenants.wording import MAILS, listed

register = template.Library()

MTOK = 1000  # mtok in one Token
SHORT_FROM = 1000 * MTOK
AFTER_CHINESE = re.compile(r"(?<=[，。；：！？、）])((?:</\w+>)*)\s+")


@register.filter
def token_number(mtok: int | None, style: str = "") -> str:
    """Return an amount of mtok as a number of Tokens, without its unit.

    No style: the decimals that the amount has, and none when it is whole. "exact": always three, for columns that are
    added up. "short": whole Tokens from 1,000 on, rounded down so that nobody sees more than there is. "signed": exact
    with its sign. None is an en dash.
    """
    if mtok is None:
        return "–"
    sign = "−" if mtok < 0 else "+" if style == "signed" and mtok > 0 else ""
    whole, thousandths = divmod(abs(mtok), MTOK)
    if style == "short" and abs(mtok) >= SHORT_FROM:
        thousandths = 0
        if mtok < 0 and abs(mtok) % MTOK:
            whole += 1
    if style in {"exact", "signed"}:
        return f"{sign}{whole:,}.{thousandths:03d}"
    decimals = f".{thousandths:03d}".rstrip("0") if thousandths else ""
    return f"{sign}{whole:,}{decimals}"


@register.filter
def tokens(mtok: int | None, style: str = "") -> SafeString | str:
    """Return an amount of mtok as Tokens with the unit mark; `style` as in `token_number`."""
    if mtok is None:
        return "–"
    return format_html(
        '<span class="token-amount">{}<abbr class="token-unit" title="{}">Tok</abbr></span>',
        token_number(mtok, style),
        _("Tokens"),
    )


@register.simple_tag
def form_key() -> SafeString:
    """Return the hidden field by which a page of the console acts once, however often its form is sent."""
    return format_html('<input type="hidden" name="form_key" value="{}">', uuid4())


@register.filter
def money(minor: int | None, currency: str) -> str:
    """Return an amount of a currency's minor unit as money with its currency; None is an en dash."""
    return "–" if minor is None else money_text(minor, currency)


@register.filter
def in_my_language(name: str) -> str:
    """Return the translation of a name that the product brought along, and any other name as it is."""
    return _(name) if name else ""


@register.filter
def number(count: int) -> str:
    """Return a count with commas between the thousands."""
    return f"{count:,}"


@register.filter
def token_plain(mtok: int) -> str:
    """Return an amount of mtok as a number that a form field takes back: no grouping, a point, at most 3 decimals."""
    whole, thousandths = divmod(mtok, MTOK)
    return f"{whole}" + (f".{thousandths:03d}".rstrip("0") if thousandths else "")


@register.filter
def local_time(moment: datetime | str | None, style: str = "") -> SafeString | str:
    """Return a `<time>` in UTC that the browser shows in the reader's zone and language; None is an en dash.

    A text is a moment as JSON keeps it (ISO 8601).

    No style: to the minute. "seconds": to the second, where the order of events matters. "day": the day alone.
    """
    if moment is None:
        return "–"
    utc = timezone.localtime(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)
    text = utc.strftime({"day": "%Y-%m-%d", "seconds": "%Y-%m-%d %H:%M:%S"}.get(style, "%Y-%m-%d %H:%M"))
    return format_html('<time datetime="{}" data-local="{}">{} UTC</time>', utc.isoformat(), style, text)


@register.simple_tag
def alert_on_page(told: Mapping[str, Any]) -> Words:
    """Return what an alert says, its times as every page shows them; `told` is what `told_alert` gives."""
    return words(**told, when=local_time)


class Sentences(template.Node):
    """What a reader of Chinese sees as one text: nothing stands between its punctuation and what follows."""

    def __init__(self, parts: template.NodeList) -> None:
        self.parts = parts

    def render(self, context: template.Context) -> SafeString:
        """Return the parts, without white space after what ends a Chinese clause."""
        return SafeString(AFTER_CHINESE.sub(r"\1", self.parts.render(context)))


@register.tag
def sentences(parser: template.base.Parser, _token: template.base.Token) -> Sentences:
    """Join sentences that come from several tags: `{% sentences %}…{% endsentences %}`."""
    parts = parser.parse(("endsentences",))
    parser.delete_first_token()
    return Sentences(parts)


@register.filter
def milliseconds(duration: float | None) -> str:
    """Return a duration of milliseconds for reading: 0 ms, 0.4 ms, 44 ms, 1.24 s."""
    if duration is None:
        return "–"
    if 0 < duration < 10:
        return f"{duration:.1f} ms"
    return f"{duration:.0f} ms" if duration < 1000 else f"{duration / 1000:.2f} s"


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return a drawing from the icon sprite. It says nothing to a screen reader: the words beside it do."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("vendor/icons/icons.svg"), name
    )


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, **attributes: Any) -> dict[str, Any]:
    """Render a form field with its label, hint and errors; `attributes` go to the control (`rows=3`, `data_x="y"`)."""
    widget = bound.field.widget
    is_checkbox = isinstance(widget, forms.CheckboxInput)
    is_group = isinstance(widget, forms.CheckboxSelectMultiple | forms.RadioSelect)
    css = "form-check-input" if is_checkbox else "form-control"
    if isinstance(widget, forms.Select) and not is_group:
        css = "form-select"
    # A group of boxes has a name of its own; each box has its label.
    name = bound.auto_id if is_group else bound.id_for_label
    described = [f"{name}-{part}" for part, there in (("hint", bound.help_text), ("error", bound.errors)) if there]
    attrs: dict[str, Any] = {name.replace("_", "-"): value for name, value in attributes.items()}
    attrs["class"] = " ".join(filter(None, [widget.attrs.get("class"), css, "is-invalid" if bound.errors else ""]))
    if str(widget.attrs.get("placeholder", "")) == str(bound.label):
        attrs["placeholder"] = False
    if described:
        attrs["aria-describedby"] = " ".join(described)
    if bound.errors:
        attrs["aria-invalid"] = "true"
    context = {
        "bound": bound,
        "is_checkbox": is_checkbox,
        "is_group": is_group,
        "described_by": " ".join(described),
        "name": name,
    }
    return context if is_group else context | {"control": bound.as_widget(attrs=attrs)}


@register.inclusion_tag("components/chart.html")
def chart(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Draw a chart, with the same numbers as a table for screen readers.

    `name` is unique on the page. `spec`: title (the finding), lead?, kind ("line" | "bars" | "bars-across"), unit,
    labels, series ([{"name", "values"}], as long as labels), short?, stacked?, steps? (a line that
    holds its value until the next).
    """
    rows = [
        (label, *(series["values"][index] for series in spec["series"])) for index, label in enumerate(spec["labels"])
    ]
    return {"id": name, "data_id": f"{name}-data", "chart": spec, "rows": rows}


register.filter("listed", listed)
register.filter("target_words", target_words)


@register.filter
def mail_words(kind: str) -> str:
    """Return what people call a kind of mail; one that has no word as it is stored."""
    return str(MAILS.get(kind, kind))


@register.filter
def alert_rules(stored: list[str]) -> list[str]:
    """Return what people call the rules of alerts."""
    return [str(AlertRule(rule).label) for rule in stored]


@register.filter
def paid_with(method: str) -> str:
    """Return what was paid with as people write it: `visa 4242` is "Visa ···· 4242"; nothing is an en dash."""
    name, _space, last4 = method.partition(" ")
    name = name.replace("_", " ")
    name = f"{name[:1].upper()}{name[1:]}"
    return f"{name} ···· {last4}" if last4 else name or "–"


@register.filter
def call_error(code: str) -> str:
    """Return why a call failed as people say it; a code that is not of `JobError` as it is stored."""
    return str(JobError(code).label) if code in JobError.values else code


# How Stripe and the ledger can differ about a payment (billing/services/reconciliation.py).
DIFFERENCES = {
    "credited_late": gettext_lazy("Paid, and credited only now"),
    "paid_for_nothing": gettext_lazy("Paid at Stripe, unknown here"),
    "not_credited": gettext_lazy("Paid at Stripe, not credited here"),
    "amount_differs": gettext_lazy("The amounts differ"),
    "grant_differs": gettext_lazy("The grant differs from the payment"),
    "credited_unpaid": gettext_lazy("Credited here, not paid at Stripe"),
    "granted_without_payment": gettext_lazy("Granted without a payment"),
}


@register.filter
def difference_words(kind: str) -> str:
    """Return how Stripe and the ledger differ; a kind that has no word as it is stored."""
    return str(DIFFERENCES.get(kind, kind))


@register.filter
def at(mapping: dict[Any, Any], key: Any) -> Any:
    """Return what a mapping holds for a key, or None."""
    return mapping.get(key)


@register.filter
def role_name(role: str) -> str:
    """Return what people call a role: "developer" is "Developer"."""
    return str(Role(role).label)


# Why a card holder's bank takes a payment back, of Stripe's words for it.
DISPUTE_REASONS = {
    "credit_not_processed": gettext_lazy("a credit was not paid"),
    "duplicate": gettext_lazy("paid twice"),
    "fraudulent": gettext_lazy("not made by the card holder"),
    "general": gettext_lazy("no reason given"),
    "product_not_received": gettext_lazy("nothing was received"),
    "product_unacceptable": gettext_lazy("not as described"),
    "subscription_canceled": gettext_lazy("the plan had been cancelled"),
    "unrecognized": gettext_lazy("not recognized by the card holder"),
}


@register.filter
def dispute_reason(word: str) -> str:
    """Return why a payment is disputed as people say it; a word that is new to us as it is."""
    return str(DISPUTE_REASONS.get(word, word))
