from django.db import migrations

# An account never hangs anywhere else, so the team whose pool it is stays where it is as well. It is refused here
# because teams know nothing of billing; opening a pool locks the team first, so the two cannot pass each other.
REFUSE_MOVE = """
CREATE FUNCTION billing_refuse_team_move() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_account WHERE org_id = OLD.org_id AND team_id = OLD.id AND kind = 'team_pool') THEN
        RAISE EXCEPTION 'team % has a pool of Tokens: it cannot move', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'team_with_pool_stays';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER team_with_pool_stays BEFORE UPDATE OF parent_id ON tenants_team
    FOR EACH ROW WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id)
    EXECUTE FUNCTION billing_refuse_team_move();
"""
ALLOW_MOVE = "DROP TRIGGER team_with_pool_stays ON tenants_team; DROP FUNCTION billing_refuse_team_move()"


class Migration(migrations.Migration):
    """A team that has a pool of Tokens cannot be put inside another."""

    dependencies = [("billing", "0004_prices_are_the_platforms")]

    operations = [migrations.RunSQL(REFUSE_MOVE, ALLOW_MOVE)]
