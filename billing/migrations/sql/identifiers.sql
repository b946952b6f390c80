-- UUIDv7 for rows that SQL writes: 48 bits of milliseconds, then random bits, as tenants/identifiers.py makes them.
-- Without a search_path of its own, so that PostgreSQL can inline it.
CREATE OR REPLACE FUNCTION tokensight_new_id() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6
            ), 52, 1), 53, 1),
        'hex')::uuid
$$;
