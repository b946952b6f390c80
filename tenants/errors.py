"""What may not be done to an organization, in words for the person who tried."""

from django.utils.translation import gettext_lazy as _


class TenantsError(Exception):
    """A refusal; `str(error)` says to a person why, in their language."""

    message = _("That cannot be done.")

    def __str__(self) -> str:
        return str(self.message)


class AlreadyMember(TenantsError):
    message = _("This person is a member already.")


class LastOwner(TenantsError):
    message = _("An organization needs an owner. Make somebody else an owner first.")


class OwnersOnly(TenantsError):
    message = _("Only an owner can give or take the owner role.")


class AlreadyInvited(TenantsError):
    message = _("This address is invited already. Send the mail again instead.")


class TooManyInvitations(TenantsError):
    message = _("There are too many invitations that nobody has answered. Take some back first.")


class SentJustNow(TenantsError):
    message = _("This mail was sent a moment ago. Wait a minute before sending it again.")


class InvitationOver(TenantsError):
    message = _("This invitation was used, taken back or has expired. Ask for a new one.")


class InvitationNotYours(TenantsError):
    message = _("This invitation is for another mail address. Sign in with the address that it was sent to.")


class SecondFactorFirst(TenantsError):
    message = _("Set up a second factor for yourself first, or you would lock yourself out.")


class OwnerNeedsPassword(TenantsError):
    message = _("Who comes in by single sign-on alone cannot be an owner: an owner needs a password of their own.")


class SignInYourself(TenantsError):
    message = _("Single sign-on cannot make you an owner. Sign in with your own password or passkey, then accept.")


class AlreadyOwner(TenantsError):
    message = _("This member is an owner already.")


class OfferOver(TenantsError):
    message = _("This offer was answered, taken back or has expired.")


class OrganizationClosing(TenantsError):
    message = _("This organization is being deleted. An owner can undo that.")


class NotClosing(TenantsError):
    message = _("This organization is not being deleted, or it is too late to undo it.")


class ProviderFailed(TenantsError):
    # What exactly went wrong is for the log: it may tell of our own network.
    message = _("The provider cannot be asked, or its answer is not right. Check issuer, client id and secret.")


class AccountExists(TenantsError):
    message = _("There is an account with this mail address. Sign in to it to agree.")


class DomainNotAllowed(TenantsError):
    message = _("The organization does not take this mail address by single sign-on. Ask one of its admins.")


class SsoNoMember(TenantsError):
    message = _("You are no member of this organization any more. Ask one of its admins.")


class SsoTakenByOther(TenantsError):
    message = _("This sign-in is for another account, or for an address that you have not confirmed.")


class SsoUntried(TenantsError):
    message = _("Sign in with it once first, to be sure that it works.")


class TeamNameTaken(TenantsError):
    message = _("There is a team with this name already.")


class TeamCycle(TenantsError):
    message = _("A team cannot be inside itself or inside one of its own teams.")


class TeamStays(TenantsError):
    message = _("A team that has a pool of Tokens cannot move: its Tokens would stay behind. Its name can change.")


class ScopeNotYours(TenantsError):
    message = _("A key cannot be given what you may not do yourself.")


class GraceOutOfRange(TenantsError):
    message = _("An old secret can work on for at most 7 days.")


class KeyRevoked(TenantsError):
    message = _("This key was revoked. Make a new one.")


class NotFound(TenantsError):
    message = _("There is nothing here, or it is not yours to see.")


class KeyUsedForOther(TenantsError):
    message = _("This idempotency key was used for a different request.")


class KeyInUse(TenantsError):
    message = _("A request with this idempotency key is still being worked on.")


class StillLooking(TenantsError):
    message = _("You look at an organization already. End that first.")
