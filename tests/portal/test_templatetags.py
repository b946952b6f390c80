from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.template import engines
from django.utils import translation

from billing.enums import AlertRule
from portal.templatetags.tokensight import alert_on_page, local_time, milliseconds, paid_with, token_number, tokens
from tenants.models.outbox import MailStatus
from tenants.wording import MAILS, listed

ROOT = Path(settings.BASE_DIR)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.mark.parametrize(
    ("mtok", "style", "expected"),
    [
        (0, "", "0"),
        (1, "", "0.001"),
        (12_340, "", "12.34"),
        (5_000, "", "5"),
        (10_000_000, "", "10,000"),
        (-5_625, "", "−5.625"),
        (5_000, "exact", "5.000"),
        (1_234_567, "exact", "1,234.567"),
        (999_999, "short", "999.999"),
        (1_999_999, "short", "1,999"),
        (-1_999_999, "short", "−2,000"),
        (5_000, "signed", "+5.000"),
        (-700, "signed", "−0.700"),
        (None, "", "–"),
    ],
)
def test_amounts_are_shown_to_the_thousandth_and_never_too_high(mtok: int | None, style: str, expected: str) -> None:
    assert token_number(mtok, style) == expected


def test_tokens_carry_their_unit() -> None:
    assert tokens(700) == '<span class="token-amount">0.7<abbr class="token-unit" title="Tokens">Tok</abbr></span>'


@pytest.mark.parametrize(
    ("duration", "expected"), [(0.0, "0 ms"), (0.44, "0.4 ms"), (44.4, "44 ms"), (1240, "1.24 s"), (None, "–")]
)
def test_durations_keep_the_digits_that_matter(duration: float | None, expected: str) -> None:
    assert milliseconds(duration) == expected


def test_an_alert_on_a_page_tells_its_times_as_the_page_does_and_escapes_the_rest() -> None:
    moment = datetime(2026, 12, 4, 3, 27, tzinfo=UTC)
    told = {
        "rule": AlertRule.SUB_TOKEN_EXPIRING, "level": None, "subject_kind": "sub_token", "subject_id": str(uuid4()),
        "subject_name": "<b>Line 2</b>", "facts": {"expires_at": moment.isoformat()}, "slug": "alpha",
    }  # fmt: skip
    said = alert_on_page(told)
    assert said.title == "The sub-token &lt;b&gt;Line 2&lt;/b&gt; ends soon"
    assert local_time(moment) in said.text
    assert local_time(moment) == local_time(moment.isoformat())


def test_chinese_sentences_stand_without_a_space_between_them() -> None:
    template = engines["django"].from_string(
        "{% load tokensight %}{% sentences %}<i>{{ first }}</i>\n  {{ second }} <b>x y</b>{% endsentences %}"
    )
    assert template.render({"first": "未设置。", "second": "设为必需后："}) == "<i>未设置。</i>设为必需后：<b>x y</b>"
    assert template.render({"first": "One.", "second": "Two:"}) == "<i>One.</i>\n  Two: <b>x y</b>"


def test_a_sent_mail_is_called_sent_and_not_by_when() -> None:
    with translation.override("zh-hans"):
        assert str(MailStatus.SENT.label) == "已发送"


def test_every_mail_has_a_name_for_people() -> None:
    templates = {path.name.removesuffix(".subject.txt") for path in (ROOT / "templates/mail").glob("*.subject.txt")}
    assert templates == MAILS.keys()


@pytest.mark.parametrize(
    ("method", "expected"),
    [("visa 4242", "Visa ···· 4242"), ("alipay", "Alipay"), ("", "–")],
)
def test_what_was_paid_with_reads_as_on_a_card(method: str, expected: str) -> None:
    assert paid_with(method) == expected


def test_things_are_listed_as_the_language_lists_them() -> None:
    assert listed(["detect", 2]) == "detect, 2"
    with translation.override("zh-hans"):
        assert listed(["甲", "乙"]) == "甲、乙"
