-- Calls in partitions by the week (UTC), so that old ones go by dropping a table, and the queue's indexes stay small.
--
-- An id is a UUIDv7, which begins with the milliseconds since 1970: a range of ids is a range of time, and the keys
-- (id) and (org_id, id) stay what they were. Partitions stand in a schema of their own, where the restricted role may
-- not look; it reaches them through the table, whose policies bind it.
CREATE SCHEMA calls;

CREATE TABLE detection_job (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    hold_id uuid,
    task varchar(16) NOT NULL,
    img_size smallint NOT NULL CHECK (img_size >= 0),
    parameters jsonb NOT NULL,
    tags jsonb NOT NULL,
    status varchar(10) NOT NULL,
    priority_class smallint NOT NULL CHECK (priority_class >= 0),
    virtual_finish float8 NOT NULL,
    wait boolean NOT NULL,
    price_mtok bigint NOT NULL,
    charged_mtok bigint NOT NULL,
    price_book integer NOT NULL CHECK (price_book >= 0),
    cached boolean NOT NULL,
    idempotency_key varchar(255),
    request_hash varchar(64) NOT NULL,
    request_id varchar(64) NOT NULL,
    client_ip inet,
    input_sha256 varchar(64) NOT NULL,
    image_width integer NOT NULL CHECK (image_width >= 0),
    image_height integer NOT NULL CHECK (image_height >= 0),
    attempts smallint NOT NULL CHECK (attempts >= 0),
    worker varchar(120) NOT NULL,
    claimed_at timestamptz,
    lease_expires_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    queue_ms float8,
    inference_ms float8,
    total_ms float8,
    error_code varchar(40) NOT NULL,
    error_detail text NOT NULL,
    result jsonb,
    prediction_count integer CHECK (prediction_count >= 0),
    org_id uuid NOT NULL,
    sub_token_id uuid NOT NULL,
    model_version_id uuid NOT NULL,
    admitted_at timestamptz,
    CONSTRAINT job_charge_within_price CHECK (charged_mtok >= 0 AND charged_mtok <= price_mtok),
    CONSTRAINT job_status_known
        CHECK (status IN ('waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT detection_job_model_version_fk
        FOREIGN KEY (model_version_id) REFERENCES detection_modelversion (id) DEFERRABLE INITIALLY DEFERRED
) PARTITION BY RANGE (id);

CREATE INDEX job_queue ON detection_job (model_version_id, img_size, priority_class, virtual_finish, id)
    WHERE status = 'queued';
CREATE INDEX job_leases ON detection_job (lease_expires_at) WHERE status = 'running';
CREATE INDEX job_log_of_sub_token ON detection_job (org_id, sub_token_id, id);
CREATE INDEX job_log_by_time ON detection_job (org_id, created_at);
CREATE INDEX job_failures ON detection_job (org_id, id) WHERE status IN ('failed', 'cancelled');

-- A call must never be refused because nobody made its week.
CREATE TABLE calls.job_rest PARTITION OF detection_job DEFAULT WITH (fillfactor = 80);
