-- Append-only tables refuse every change, also the owner's, but for what an erasure does: a function that belongs to the
-- table's owner and has said so for its transaction. No other role can become the owner, so none can use the setting.
CREATE OR REPLACE FUNCTION tokensight_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP <> 'TRUNCATE' AND current_setting('tokensight.erasing', true) = 'on'
        AND current_user = (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
