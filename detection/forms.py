"""Forms of the pages about calls."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models import SubToken
from detection.queries.catalogue import CatalogueModel, catalogue

IMG_SIZES = (320, 480, 640, 800, 960, 1280)


@dataclass(frozen=True)
class Choice:
    """What the playground runs: which model, at which size (px), on whose account."""

    model: CatalogueModel
    img_size: int
    sub_token_id: uuid.UUID


class PlaygroundForm(forms.Form):
    """What to run, and on whose account. Needs the organization's scope."""

    model = forms.ChoiceField(label=_("Model"))
    img_size = forms.TypedChoiceField(
        label=_("Inference size"), coerce=int, choices=[(size, f"{size} px") for size in IMG_SIZES], initial=640
    )
    sub_token = forms.ModelChoiceField(label=_("Paid by sub-token"), queryset=SubToken.objects.none(), empty_label=None)

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        installed = [model for model in catalogue().models.values() if model.current]
        self.fields["model"].choices = [(model.name, model.title or model.name) for model in installed]  # type: ignore[attr-defined]
        live = SubToken.objects.filter(revoked_at=None, suspended_at=None, expires_at__gt=now).order_by("name")
        self.fields["sub_token"].queryset = live  # type: ignore[attr-defined]
        if installed and installed[0].current:
            self.fields["img_size"].initial = installed[0].current.default_img_size

    def choice(self) -> Choice:
        """Return what was chosen in a valid form."""
        chosen = self.cleaned_data
        return Choice(catalogue().models[chosen["model"]], chosen["img_size"], chosen["sub_token"].id)


class UploadForm(forms.Form):
    """The picture; what is inside is checked by its header later."""

    file = forms.FileField(label=_("Picture"))
