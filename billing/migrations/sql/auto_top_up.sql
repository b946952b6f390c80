-- Says in the money's own transaction that spending has left a wallet less than its organization wants to have, so that
-- more is bought at once and not when somebody looks. Only what resolves a hold is spending: Tokens that are shared out,
-- expire or are paid back buy nothing. Fires once: whoever has bought sets the mark again.
CREATE OR REPLACE FUNCTION billing_auto_top_up_due() RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    UPDATE billing_autotopup a SET due_at = now() WHERE a.org_id = NEW.org_id AND a.status = 'on';
    NEW.auto_below_mtok := NULL;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER account_auto_top_up BEFORE UPDATE OF posted_mtok ON billing_account
    FOR EACH ROW
    WHEN (
        NEW.auto_below_mtok IS NOT NULL
        AND NEW.posted_mtok < NEW.auto_below_mtok
        AND NEW.posted_mtok < OLD.posted_mtok
        AND NEW.held_mtok < OLD.held_mtok
    )
    EXECUTE FUNCTION billing_auto_top_up_due();
