from tenants.models.organizations import Membership, Organization, Role, Team
from tenants.models.tenant import TenantModel
from tenants.models.users import User

__all__ = ["Membership", "Organization", "Role", "Team", "TenantModel", "User"]
