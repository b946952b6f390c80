-- The sums are read many rows at a time: as a subquery the scope is looked up once for a query, and not for each row.
ALTER POLICY tenant ON detection_hourlyusage
    USING (org_id = (SELECT tokensight_org_id())) WITH CHECK (org_id = (SELECT tokensight_org_id()));
ALTER POLICY tenant ON detection_dailyusage
    USING (org_id = (SELECT tokensight_org_id())) WITH CHECK (org_id = (SELECT tokensight_org_id()));
ALTER POLICY tenant ON detection_tagusage
    USING (org_id = (SELECT tokensight_org_id())) WITH CHECK (org_id = (SELECT tokensight_org_id()));
