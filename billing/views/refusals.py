"""What the ledger refuses, in a person's words."""

from __future__ import annotations

from django.utils.translation import gettext as _

from billing.errors import CapBelowDrawn, InsufficientTokens, NoQuota, QuotaExceeded, StateChanged


def refusal(error: Exception) -> str:
    """Return why the ledger refused."""
    match error:
        case InsufficientTokens(label=label) if label:
            return _("%(name)s has only %(tokens)s Tokens free.") % {
                "name": label,
                "tokens": in_tokens(error.available_mtok),
            }
        case InsufficientTokens():
            return _("Only %(tokens)s Tokens are free.") % {"tokens": in_tokens(error.available_mtok)}
        case QuotaExceeded():
            return _("The quota above leaves only %(tokens)s Tokens.") % {"tokens": in_tokens(error.available_mtok)}
        case CapBelowDrawn():
            return _("%(tokens)s Tokens of the ceiling were drawn already: it cannot be lower.") % {
                "tokens": in_tokens(error.drawn_mtok)
            }
        case NoQuota():
            return _("This draws on what is above it without a ceiling: set one first.")
        case StateChanged():
            return _("Somebody moved Tokens since these numbers were worked out, so nothing was changed. Look again.")
        case _:
            return _("The ledger refused this: %(reason)s") % {"reason": error}


def in_tokens(mtok: int) -> str:
    """Return mtok as Tokens for a sentence, with the decimals that there are."""
    sign, mtok = ("-", -mtok) if mtok < 0 else ("", mtok)
    whole, thousandths = divmod(mtok, 1000)
    return f"{sign}{whole:,}" + (f".{thousandths:03d}".rstrip("0") if thousandths else "")
