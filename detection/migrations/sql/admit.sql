-- The job that an idempotency key has made: replay or mismatch, and which; none without one.
--
-- A key that served a call which never got its answer (cancelled, or failed by our fault) is free again, so that a
-- client's retry runs anew; a bad image stays bad. Keys stand in a table of their own: calls are partitioned by id, and
-- nothing else can be unique over all partitions.
CREATE OR REPLACE FUNCTION detection_find_earlier(p_org uuid, p_sub_token uuid, p_key text, p_request_hash text)
RETURNS TABLE (outcome text, job_id uuid)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_earlier uuid;
    earlier record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_sub_token::text || p_key, 0));
    SELECT kept.job_id INTO v_earlier FROM detection_idempotentcall AS kept
     WHERE kept.org_id = p_org AND kept.sub_token_id = p_sub_token AND kept.key = p_key;
    -- A variable, not a join: so only the partition that it is in is opened. A call older than calls are kept is gone.
    SELECT id, request_hash, status, error_code INTO earlier FROM detection_job WHERE id = v_earlier;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'none', NULL::uuid;
    ELSIF earlier.status = 'cancelled'
          OR (earlier.status = 'failed'
              AND earlier.error_code NOT IN ('invalid_image', 'image_too_large_to_decode')) THEN
        UPDATE detection_job SET idempotency_key = NULL WHERE id = earlier.id;
        RETURN QUERY SELECT 'none', NULL::uuid;
    ELSE
        RETURN QUERY SELECT CASE WHEN earlier.request_hash = p_request_hash THEN 'replay' ELSE 'mismatch' END, earlier.id;
    END IF;
END $$;

-- A job's place in fair share: its virtual finish. Locks the organization's clock of its class.
CREATE OR REPLACE FUNCTION detection_take_turn(
    p_org uuid, p_job uuid, p_priority_class int, p_price_mtok bigint, p_weight float8, p_now timestamptz
) RETURNS float8
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
    v_finish float8;
BEGIN
    INSERT INTO detection_fairshareclock AS clock (id, org_id, created_at, priority_class, last_finish)
    SELECT p_job, p_org, p_now, p_priority_class, t.now + p_price_mtok / p_weight
      FROM detection_virtualtime AS t WHERE t.priority_class = p_priority_class
    ON CONFLICT (org_id, priority_class) DO UPDATE
       SET last_finish = GREATEST(clock.last_finish + p_price_mtok / p_weight, EXCLUDED.last_finish)
    RETURNING clock.last_finish INTO v_finish;
    RETURN v_finish;
END $$;

-- Takes a job in: one statement for limits, hold, place in the queue and the row.
--
-- Outcomes: admitted; replay or mismatch (the idempotency key was used by the job returned, for the same or another
-- request); or what billing_place_hold refused with, and then its refusal. A job that arrives finished (a cached answer)
-- takes no hold.
--
-- `p_may_wait`: the sub-token's calls wait for Tokens. While some of them do, a new one may not overtake: must_wait.
--
-- Locks: the idempotency key, the accounts, their limits, the fair-share clock, in this order.
--
-- `p_wait`: the caller is on the line and asks again if the power fails, so the commit need not wait for the disk.
CREATE OR REPLACE FUNCTION detection_admit(
    p_org uuid, p_account uuid, p_sub_token uuid, p_key text, p_request_hash text, p_wait boolean,
    p_may_wait boolean, p_weight float8, p_job jsonb, p_deadline timestamptz, p_now timestamptz
) RETURNS TABLE (outcome text, available_mtok bigint, job_id uuid, refusal jsonb)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    j detection_job;
    v_earlier uuid;
    v_outcome text;
    v_available bigint;
    v_refusal jsonb;
BEGIN
    PERFORM set_config('tokensight.org_id', p_org::text, true);
    IF p_wait THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    j := jsonb_populate_record(NULL::detection_job, p_job);

    IF p_key IS NOT NULL THEN
        SELECT found.outcome, found.job_id INTO v_outcome, v_earlier
          FROM detection_find_earlier(p_org, p_sub_token, p_key, p_request_hash) AS found;
        IF v_outcome <> 'none' THEN
            RETURN QUERY SELECT v_outcome, NULL::bigint, v_earlier, NULL::jsonb;
            RETURN;
        END IF;
    END IF;
    v_outcome := 'admitted';

    IF p_may_wait AND j.status = 'queued' AND EXISTS (
        SELECT FROM detection_waitinginput AS w WHERE w.org_id = p_org AND w.account_id = p_account
    ) THEN
        RETURN QUERY SELECT 'must_wait', NULL::bigint, NULL::uuid, NULL::jsonb;
        RETURN;
    END IF;

    IF j.status = 'queued' THEN
        SELECT h.outcome, h.available_mtok, h.refusal INTO v_outcome, v_available, v_refusal
          FROM billing_place_hold(p_org, p_account, j.id, j.price_mtok, j.id::text, j.id, p_deadline, p_now) AS h;
        IF v_outcome <> 'held' THEN
            RETURN QUERY SELECT v_outcome, v_available, NULL::uuid, v_refusal;
            RETURN;
        END IF;
        v_outcome := 'admitted';
        j.hold_id := j.id;
        j.virtual_finish := detection_take_turn(p_org, j.id, j.priority_class, j.price_mtok, p_weight, p_now);
    ELSE
        SELECT billing_available(p_org, way.funding, way.path, p_now) INTO v_available
          FROM billing_account_path(p_org, p_account) AS way;
    END IF;

    INSERT INTO detection_job (
        id, org_id, created_at, sub_token_id, hold_id, model_version_id, task, img_size, parameters, tags, status,
        priority_class, virtual_finish, wait, price_mtok, charged_mtok, price_book, cached, idempotency_key,
        request_hash, request_id, client_ip, input_sha256, image_width, image_height, attempts, worker, finished_at,
        queue_ms, inference_ms, total_ms, error_code, error_detail, result, prediction_count)
    VALUES (
        j.id, p_org, p_now, p_sub_token, j.hold_id, j.model_version_id, j.task, j.img_size, j.parameters, j.tags, j.status,
        j.priority_class, COALESCE(j.virtual_finish, 0), p_wait, j.price_mtok, 0, j.price_book, j.cached, p_key,
        p_request_hash, j.request_id, j.client_ip, j.input_sha256, j.image_width, j.image_height, 0, '', j.finished_at,
        j.queue_ms, j.inference_ms, j.total_ms, '', '', j.result, j.prediction_count);
    IF p_key IS NOT NULL THEN
        INSERT INTO detection_idempotentcall AS kept (id, org_id, created_at, sub_token_id, key, job_id)
        VALUES (j.id, p_org, p_now, p_sub_token, p_key, j.id)
        ON CONFLICT (org_id, sub_token_id, key) DO UPDATE
           SET job_id = excluded.job_id, created_at = excluded.created_at;
    END IF;
    RETURN QUERY SELECT v_outcome, v_available, j.id, NULL::jsonb;
END $$;
