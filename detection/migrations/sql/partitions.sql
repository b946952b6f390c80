-- The first id that can be made at a moment: a UUIDv7 begins with it.
CREATE OR REPLACE FUNCTION tokensight_first_id(p_moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE
SET search_path = public, pg_temp
AS $$ SELECT (lpad(to_hex(floor(extract(epoch FROM p_moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- The weeks that there are: their tables, and from which id to before which.
CREATE OR REPLACE FUNCTION detection_partitions() RETURNS TABLE (partition regclass, first_id uuid, end_id uuid)
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
CREATE OR REPLACE FUNCTION detection_make_partitions(p_now timestamptz, p_weeks int) RETURNS int
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
CREATE OR REPLACE FUNCTION detection_drop_partition(p_before timestamptz) RETURNS text
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
