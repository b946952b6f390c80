from tenants.models.audit import AuditChain, AuditCheck, AuditEvent
from tenants.models.idempotency import IdempotencyRecord
from tenants.models.management_keys import ManagementKey
from tenants.models.organizations import Membership, Organization, Role, Team
from tenants.models.outbox import MailStatus, OutboxMail
from tenants.models.tenant import TenantModel
from tenants.models.users import User

__all__ = [
    "AuditChain",
    "AuditCheck",
    "AuditEvent",
    "IdempotencyRecord",
    "MailStatus",
    "ManagementKey",
    "Membership",
    "Organization",
    "OutboxMail",
    "Role",
    "Team",
    "TenantModel",
    "User",
]
