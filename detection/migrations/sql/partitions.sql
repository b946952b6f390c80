-- Calls in partitions by the week (UTC), so that old ones go by dropping a table, and the queue's indexes stay small.
--
-- An id is a UUIDv7, which begins with the milliseconds since 1970: a range of ids is a range of time, and the keys
-- (id) and (org_id, id) stay what they were. Partitions stand in a schema of their own, where the restricted role may
-- not look; it reaches them through the table, whose policies bind it.
CREATE SCHEMA calls;

CREATE FUNCTION tokensight_first_id(p_moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE
SET search_path = public, pg_temp
AS $$ SELECT (lpad(to_hex(floor(extract(epoch FROM p_moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

DROP TRIGGER count_finished ON detection_job;
DROP TRIGGER count_inserted ON detection_job;
ALTER TABLE detection_job SET SCHEMA calls;
ALTER TABLE calls.detection_job RENAME TO job_before;
DROP POLICY tenant ON calls.job_before;
DROP POLICY platform ON calls.job_before;
REVOKE ALL ON calls.job_before FROM @APP@, @PLATFORM@;

CREATE TABLE detection_job (LIKE calls.job_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)
PARTITION BY RANGE (id);
ALTER TABLE detection_job ADD PRIMARY KEY (id);
ALTER TABLE detection_job ADD CONSTRAINT detection_job_org_id_id_key UNIQUE (org_id, id);
ALTER TABLE detection_job ADD CONSTRAINT detection_job_sub_token_id_tenant_fk
    FOREIGN KEY (org_id, sub_token_id) REFERENCES billing_subtoken (org_id, id);
ALTER TABLE detection_job ADD CONSTRAINT detection_job_model_version_fk
    FOREIGN KEY (model_version_id) REFERENCES detection_modelversion (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX job_queue ON detection_job (model_version_id, img_size, priority_class, virtual_finish, id)
    WHERE status = 'queued';
CREATE INDEX job_leases ON detection_job (lease_expires_at) WHERE status = 'running';
CREATE INDEX job_log_of_sub_token ON detection_job (org_id, sub_token_id, id);
CREATE INDEX job_log_by_time ON detection_job (org_id, created_at);
CREATE INDEX job_failures ON detection_job (org_id, id) WHERE status IN ('failed', 'cancelled');
GRANT SELECT, INSERT, UPDATE, DELETE ON detection_job TO @APP@, @PLATFORM@;
ALTER TABLE detection_job ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON detection_job TO @APP@
    USING (org_id = tokensight_org_id()) WITH CHECK (org_id = tokensight_org_id());
CREATE POLICY platform ON detection_job TO @PLATFORM@ USING (true) WITH CHECK (true);

-- What there was stays as it lies, as the partition of all time before the next week; nothing is copied.
DO $$
BEGIN
    IF EXISTS (SELECT FROM calls.job_before) THEN
        EXECUTE format('ALTER TABLE detection_job ATTACH PARTITION calls.job_before FOR VALUES FROM (MINVALUE) TO (%L)',
            tokensight_first_id(date_trunc('week', now(), 'UTC') + interval '7 days'));
    ELSE
        DROP TABLE calls.job_before;
    END IF;
END $$;
-- A call must never be refused because nobody made its week.
CREATE TABLE calls.job_rest PARTITION OF detection_job DEFAULT WITH (fillfactor = 80);

CREATE TRIGGER count_finished AFTER UPDATE ON detection_job REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION detection_count_finished();
CREATE TRIGGER count_inserted AFTER INSERT ON detection_job
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION detection_count_inserted();

-- The weeks that there are: their tables, and from which id to before which.
CREATE FUNCTION detection_partitions() RETURNS TABLE (partition regclass, first_id uuid, end_id uuid)
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT child.oid::regclass, substring(bound.text FROM 'FROM \(''([0-9a-f-]+)''')::uuid,
           substring(bound.text FROM 'TO \(''([0-9a-f-]+)''')::uuid
    FROM pg_inherits
    JOIN pg_class child ON child.oid = inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(child.relpartbound, child.oid) AS text) bound
    WHERE inhparent = 'public.detection_job'::regclass AND bound.text <> 'DEFAULT'
$$;

-- Make the partitions of the week of p_now and of p_weeks weeks after it that are missing; answers how many it made.
--
-- The owner's rights, for the role that runs the portal makes no tables. It waits for a lock no longer than a moment,
-- as whoever calls meanwhile waits behind it; then it fails, and is tried again.
CREATE FUNCTION detection_make_partitions(p_now timestamptz, p_weeks int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    v_start timestamptz;
    v_end uuid;
    v_name text;
    v_made int := 0;
BEGIN
    FOR week IN 0..p_weeks LOOP
        v_start := date_trunc('week', p_now, 'UTC') + week * interval '7 days';
        v_end := tokensight_first_id(v_start + interval '7 days');
        CONTINUE WHEN EXISTS (
            SELECT FROM detection_partitions() WHERE end_id >= v_end AND coalesce(first_id < v_end, true));
        v_name := 'job_' || to_char(v_start AT TIME ZONE 'UTC', 'YYYYMMDD');
        EXECUTE format('CREATE TABLE calls.%I (LIKE detection_job INCLUDING DEFAULTS INCLUDING CONSTRAINTS'
            ' INCLUDING STORAGE) WITH (fillfactor = 80)', v_name);
        EXECUTE format('ALTER TABLE calls.%I ENABLE ROW LEVEL SECURITY', v_name);
        EXECUTE format('ALTER TABLE detection_job ATTACH PARTITION calls.%I FOR VALUES FROM (%L) TO (%L)',
            v_name, tokensight_first_id(v_start), v_end);
        v_made := v_made + 1;
    END LOOP;
    RETURN v_made;
END $$;

-- Drop the oldest partition if all of it is older than p_before; answers its name, or null when there is none.
-- One at a time, with the owner's rights and the patience of detection_make_partitions.
CREATE FUNCTION detection_drop_partition(p_before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    v_name text;
BEGIN
    SELECT partition::text INTO v_name FROM detection_partitions()
    WHERE end_id <= tokensight_first_id(p_before) ORDER BY end_id LIMIT 1;
    IF v_name IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', v_name);
    END IF;
    RETURN v_name;
END $$;

REVOKE ALL ON FUNCTION detection_make_partitions(timestamptz, int), detection_drop_partition(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION detection_make_partitions(timestamptz, int), detection_drop_partition(timestamptz)
    TO @PLATFORM@;
SELECT detection_make_partitions(now(), 4);
