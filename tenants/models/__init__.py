from tenants.models.audit import AuditChain, AuditCheck, AuditEvent
from tenants.models.idempotency import IdempotencyRecord
from tenants.models.invitations import Invitation
from tenants.models.management_keys import ManagementKey
from tenants.models.organizations import Membership, Organization, Role, Team, WhenUncounted
from tenants.models.outbox import MailStatus, OutboxMail
from tenants.models.ownership import OwnershipOffer
from tenants.models.retired_secrets import OldSecret, RetiredKeySecret
from tenants.models.tenant import TenantModel
from tenants.models.users import User

__all__ = [
    "AuditChain",
    "AuditCheck",
    "AuditEvent",
    "IdempotencyRecord",
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
    "Team",
    "TenantModel",
    "User",
    "WhenUncounted",
]
