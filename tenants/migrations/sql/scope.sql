-- In whose name a transaction works: the organization and the person that its scope names, null without one.
CREATE OR REPLACE FUNCTION tokensight_org_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT NULLIF(current_setting('tokensight.org_id', true), '')::uuid $$;

CREATE OR REPLACE FUNCTION tokensight_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT NULLIF(current_setting('tokensight.user_id', true), '')::uuid $$;
