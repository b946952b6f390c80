"""What the ledger refuses, one exception each. Nothing was changed when one of these is raised."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class LedgerError(Exception):
    """Something that the ledger refuses to do."""


class InsufficientTokens(LedgerError):
    """An account has less than was asked for; `available_mtok` says how much, `label` which, where several could."""

    def __init__(self, available_mtok: int, label: str = "") -> None:
        super().__init__(f"Only {available_mtok} mtok are available.")
        self.available_mtok, self.label = available_mtok, label


class QuotaExceeded(LedgerError):
    """A cap on the account's way, or a limit that binds it, has less room than was asked for.

    `available_mtok` is what its Tokens and caps leave it.
    """

    def __init__(self, available_mtok: int) -> None:
        super().__init__(f"Its limits leave no room; {available_mtok} mtok are available.")
        self.available_mtok = available_mtok


class HourlyLimitExceeded(QuotaExceeded):
    """The limit of Tokens per hour of the account, or of one above it, has less room than was asked for."""


class DebtOutstanding(LedgerError):
    """The organization owes Tokens, and spends nothing until that is settled; `owed_mtok` says how much."""

    def __init__(self, owed_mtok: int) -> None:
        super().__init__(f"{owed_mtok} mtok are owed and must be settled first.")
        self.owed_mtok = owed_mtok


class DebtUnknown(LedgerError):
    """There is no such debt in this organization, or nothing is left of it."""


class AccountUnknown(LedgerError):
    """There is no such account in this organization, or it is none that holds Tokens for spending."""


class AccountClosed(LedgerError):
    """The account was closed (its sub-token revoked): it takes and holds nothing any more."""


class AccountExpired(LedgerError):
    """The account's time is over."""


class NotNested(LedgerError):
    """Tokens are allocated from an account to one directly below it, and reclaimed the same way."""


class IdempotencyMismatch(LedgerError):
    """The idempotency key was used before, for something else."""


class AmountInvalid(LedgerError):
    """An amount of Tokens to move must be a positive number of thousandths."""


class CapBelowDrawn(LedgerError):
    """The new cap is less than what was drawn already; `drawn_mtok` says how much."""

    def __init__(self, drawn_mtok: int) -> None:
        super().__init__(f"{drawn_mtok} mtok were drawn already.")
        self.drawn_mtok = drawn_mtok


class GrantUnknown(LedgerError):
    """There is no such grant in this organization."""


class TransferUnknown(LedgerError):
    """There is no such transfer in this organization."""


class NotReversible(LedgerError):
    """Transfers of this kind have an ordinary opposite and are not reversed."""


class ReasonMissing(LedgerError):
    """What staff do by hand to an organization's Tokens needs a reason."""


class StateChanged(LedgerError):
    """What the preview was worked out on has been changed since; nothing was moved."""


class DivisionInvalid(LedgerError):
    """The Tokens cannot be divided as asked; `str(error)` says why to a person."""


class PackageInvalid(LedgerError):
    """A package cannot be sold like this."""


class PackageUnknown(LedgerError):
    """There is no such package on sale."""


class PlanError(LedgerError):
    """Something that plans refuse; `str(error)` says to a person why."""


class PlanInvalid(PlanError):
    """A plan or a boost cannot be like this."""


class PlanUnknown(PlanError):
    """There is no such plan, or boost, that can be had."""


class PlanNotForSale(PlanError):
    """Organizations do not come to this plan, or leave theirs, by themselves."""


class PlanUnchanged(PlanError):
    """The organization is on this plan already, or nothing waits to be changed."""


class PlanBusy(PlanError):
    """Somebody else changes the plan just now."""


class PoolMissing(LedgerError):
    """The team has no pool yet."""


class SubTokenError(Exception):
    """Something that sub-tokens and team pools refuse; `str(error)` says to a person why."""


class SubTokenUnknown(SubTokenError):
    """There is no such sub-token in this organization."""


class TeamUnknown(SubTokenError):
    """There is no such team in this organization."""


class ExpiryOutOfRange(SubTokenError):
    """A sub-token must end in the future, and no later than the plan allows."""


class TooMany(SubTokenError):
    """More sub-tokens than one act takes."""


class NoQuota(SubTokenError):
    """The slice draws on its parent without a quota, so there is none to raise or to lower."""


class AlertError(Exception):
    """Something that alerts and webhooks refuse; `str(error)` says to a person why."""


class AlertSettingsInvalid(AlertError):
    """A setting is out of its range; `field` says which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class EndpointUnknown(AlertError):
    """There is no such webhook endpoint, delivery, alert or notice in this organization."""


class AddressRefused(AlertError):
    """A webhook's address is not one that this portal may call."""


class TooManyEndpoints(AlertError):
    """An organization has a bounded number of webhook endpoints."""


class CodeError(Exception):
    """A code is refused; `str(error)` says to a person why, in their language."""

    message: str | Promise = _("This code cannot be used here.")

    def __str__(self) -> str:
        return str(self.message)


class CodeMistyped(CodeError):
    """Its characters do not belong together, which needs no look at the database."""

    message = _("This is no code: a character is wrong or missing. Compare it with the original, or paste it.")


class CodeInvalid(CodeError):
    """Nobody knows it, it has expired or was ended, or was used up by others: all the same to who asks."""

    message = _("This code is unknown, has expired or was used up.")


class CodeUsedBefore(CodeError):
    """The organization has used codes of this set as often as it may."""

    message = _("Your organization has used this offer already.")


class CodeForFirstPurchase(CodeError):
    """The organization has bought before."""

    message = _("This code is for an organization's first purchase.")


class CodeForPurchases(CodeError):
    """It is worth something together with a purchase only."""

    message = _("This code counts when you buy Tokens: enter it there.")


class CodeNotForPurchases(CodeError):
    """It gives Tokens at once, and nothing at a purchase."""

    message = _("This code gives Tokens at once: redeem it on its own page.")


class TooManyGuesses(CodeError):
    """Too many codes were tried that work for nobody; `retry_after` says for how long no code is looked at (s)."""

    message = _("Too many codes were tried that do not work. Try again in an hour.")

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class CodeUnknown(CodeError):
    """There is no such code or set, for staff who look for it by its id."""

    message = _("There is no such code.")


class CodesMade(CodeError):
    """The same form was sent before: its codes were made then, and shown then."""

    message = _("These codes were made already. They are shown only once: end the set and make another one.")


class CodeTermsInvalid(CodeError):
    """Codes cannot be made like this; `field` says what is wrong, `str(error)` how."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__()
        self.field, self.message = field, message


class StatementOff(Exception):
    """A statement does not reconcile, so it is not given out.

    `differences` are what is off, what the entries say, and what is kept beside them (mtok).
    """

    def __init__(self, differences: list[tuple[str, int, int]]) -> None:
        said = "; ".join(f"{name}: {entries} mtok by the entries, {kept} kept" for name, entries, kept in differences)
        super().__init__(f"This statement does not reconcile and is not given out. {said}.")
        self.differences = differences


class PaymentError(Exception):
    """Something that paying refuses or that could not be done; nothing was credited when one of these is raised."""


class PaymentsUnavailable(PaymentError):
    """Buying is not set up on this server."""

    def __init__(self) -> None:
        super().__init__("Buying is not set up on this server.")


class GatewayAway(PaymentError):
    """Stripe did not answer, or said that it cannot now: the same may be asked again later."""


class GatewayRefused(PaymentError):
    """Stripe refuses what it was asked, which is a mistake of ours; `code` is Stripe's word for it."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CardDeclined(PaymentError):
    """The bank refused the card; `code` and `decline_code` are Stripe's words for why."""

    def __init__(self, code: str, decline_code: str = "", payment_intent_id: str = "") -> None:
        super().__init__(f"The card was declined: {decline_code or code}.")
        self.code, self.decline_code, self.payment_intent_id = code, decline_code, payment_intent_id


class AuthenticationRequired(PaymentError):
    """The bank wants the card holder to confirm the payment in person (3-D Secure)."""

    def __init__(self, payment_intent_id: str) -> None:
        super().__init__("The card holder has to confirm this payment.")
        self.payment_intent_id = payment_intent_id


class PaymentUnknown(PaymentError):
    """There is no such payment in this organization."""


class PaymentMismatch(PaymentError):
    """What Stripe says was paid is not what was asked for: nothing is credited until a person has looked."""


class TopUpInvalid(PaymentError):
    """Tokens cannot be bought like this; `field` says which part is wrong and `str(error)` what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TooManyPayments(PaymentError):
    """Too many payments were begun and not paid."""


class PaymentClosed(PaymentError):
    """The payment is over: it can be neither continued nor cancelled."""


class AutoTopUpInvalid(PaymentError):
    """An automatic top-up cannot be set up like this; `field` says which part is wrong, `str(error)` how."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class CardUnknown(PaymentError):
    """There is no such saved card of this organization."""


class SignatureInvalid(PaymentError):
    """What came in is not signed by Stripe, or was signed too long ago."""


class EventUnreadable(PaymentError):
    """What Stripe signed is not an event of the kind that is understood here."""


class RefundRefused(PaymentError):
    """A payment cannot be refunded like this; `code` is a stable word for why, `str(error)` says it to a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
