from tenants.models.audit import AuditChain, AuditCheck, AuditEvent
from tenants.models.idempotency import IdempotencyRecord
from tenants.models.invitations import Invitation
from tenants.models.management_keys import ManagementKey
from tenants.models.organizations import Membership, Organization, Role, Team, WhenUncounted
from tenants.models.outbox import MailStatus, OutboxMail
from tenants.models.ownership import OwnershipOffer
from tenants.models.retired_secrets import OldSecret, RetiredKeySecret
from tenants.models.single_sign_on import Identity, SingleSignOn
from tenants.models.tenant import TenantModel
from tenants.models.users import User

__all__ = [
    "AuditChain",
    "AuditCheck",
    "AuditEvent",
    "IdempotencyRecord",
    "Identity",
    "Invitation",
    "MailStatus",
    "ManagementKey",
    "Membership",
    "OldSecret",
    "Organization",
    "OutboxMail",
    "OwnershipOffer",
    "RetiredKeySecret",
    "Role",
    "SingleSignOn",
    "Team",
    "TenantModel",
    "User",
    "WhenUncounted",
]
