"""The form in which a code is typed."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.codes import LONGEST_TYPED


class CodeField(forms.CharField):
    """A code as it is typed or pasted; the service reads it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Code"))
        attributes = {"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}
        super().__init__(max_length=LONGEST_TYPED, widget=forms.TextInput(attrs=attributes), **kwargs)


class RedeemForm(forms.Form):
    """A code to redeem. `key` makes a form that is sent twice one use."""

    code = CodeField(help_text=_("As on your voucher: TSC- and 25 characters. Small letters and spaces do no harm."))
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"key": uuid.uuid4(), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
