-- The last record that was decided in each partition: its offset and its timestamp. Read
-- again when the partition is claimed, it is the witness that the topic is still the same
-- one: a topic that was deleted, made again and filled beyond next_offset has another record
-- there, and what came before that would never be read.

ALTER TABLE postonce.stream_position
    ADD COLUMN last_offset       bigint,
    ADD COLUMN last_timestamp_ms bigint, -- of the record, ms; -1: it had none
    ADD CONSTRAINT stream_position_witness CHECK (
        (last_offset IS NULL) = (last_timestamp_ms IS NULL) AND last_offset < next_offset);

CREATE OR REPLACE FUNCTION postonce.grant_consumer(grantee name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    rights text;
BEGIN
    FOREACH rights IN ARRAY ARRAY[
        'USAGE ON SCHEMA postonce',
        'SELECT ON postonce.schema_version, postonce.entry',
        'SELECT, INSERT ON postonce.inbox, postonce.transfer, postonce.dead_letter',
        'SELECT, INSERT, UPDATE (balance_minor, version) ON postonce.account',
        'USAGE ON SEQUENCE postonce.account_id',
        'SELECT, INSERT, UPDATE (next_offset, epoch, claimed_at, last_offset,'
            || ' last_timestamp_ms) ON postonce.stream_position']
    LOOP
        EXECUTE format('GRANT %s TO %I', rights, grantee);
    END LOOP;
END $$;

-- Whoever had the rights of version 1 gets the new ones, too.
DO $$
DECLARE
    grantee name;
BEGIN
    FOR grantee IN
        SELECT DISTINCT pg_catalog.pg_get_userbyid(g.grantee)
          FROM pg_catalog.pg_attribute a, LATERAL pg_catalog.aclexplode(a.attacl) g
         WHERE a.attrelid = 'postonce.stream_position'::pg_catalog.regclass
           AND a.attname = 'next_offset' AND g.privilege_type = 'UPDATE' AND g.grantee <> 0
    LOOP
        PERFORM postonce.grant_consumer(grantee);
    END LOOP;
END $$;
