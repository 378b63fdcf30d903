-- The books of postonce: accounts, transfers, the inbox that remembers what was decided, and
-- where each partition stands (CONTRACT §5).
--
-- Every rule about money that the consumer decides by is a constraint here as well, so that
-- a wrong decision fails to commit. Rows are lean and indexes few: each costs every command.
-- Fixed-width columns come first, so that nothing is lost to alignment.
-- Runs inside one transaction of `postonce migrate`. All names are qualified.

-- An owner who may not create schemas can be given this one.
DO $$
BEGIN
    IF pg_catalog.to_regnamespace('postonce') IS NULL THEN
        CREATE SCHEMA postonce;
    END IF;
END $$;

CREATE TABLE postonce.schema_version (
    version    integer PRIMARY KEY CHECK (version > 0),
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Balances move in place; half of each page stays free, so that every update is a HOT one.
CREATE SEQUENCE postonce.account_id AS bigint;
CREATE TABLE postonce.account (
    account_id            bigint NOT NULL DEFAULT nextval('postonce.account_id'),
    balance_minor         bigint NOT NULL,
    minimum_balance_minor bigint,          -- NULL: no limit
    version               bigint NOT NULL, -- number of movements
    currency              text COLLATE "C" NOT NULL,
    name                  text COLLATE "C" NOT NULL,
    CONSTRAINT account_pkey PRIMARY KEY (account_id),
    CONSTRAINT account_name_key UNIQUE (name),
    CONSTRAINT account_name_size CHECK (octet_length(name) BETWEEN 1 AND 64),
    CONSTRAINT account_currency_size CHECK (octet_length(currency) = 3),
    CONSTRAINT account_minimum_not_positive CHECK (minimum_balance_minor <= 0),
    CONSTRAINT account_balance_above_minimum CHECK (balance_minor >= minimum_balance_minor),
    CONSTRAINT account_version_not_negative CHECK (version >= 0)
) WITH (fillfactor = 50);
ALTER SEQUENCE postonce.account_id OWNED BY postonce.account.account_id;

-- No column tells a wall-clock time: the same topic gives the same rows. That accounts exist
-- is what the update of their balances proves; a foreign key would only prove it twice.
CREATE TABLE postonce.transfer (
    debit_account_id     bigint NOT NULL,
    credit_account_id    bigint NOT NULL,
    amount_minor         bigint NOT NULL,
    debit_balance_minor  bigint NOT NULL, -- after
    credit_balance_minor bigint NOT NULL,
    debit_version        bigint NOT NULL, -- the number of this movement in its account
    credit_version       bigint NOT NULL,
    payment_id           uuid NOT NULL,
    refunds              uuid,            -- the payment that this one refunds
    client               text COLLATE "C" NOT NULL,
    reference            text,
    CONSTRAINT transfer_pkey PRIMARY KEY (payment_id),
    CONSTRAINT transfer_amount_positive CHECK (amount_minor > 0),
    CONSTRAINT transfer_two_accounts CHECK (debit_account_id <> credit_account_id),
    CONSTRAINT transfer_versions_positive CHECK (debit_version > 0 AND credit_version > 0),
    CONSTRAINT transfer_client_size CHECK (octet_length(client) BETWEEN 1 AND 64),
    CONSTRAINT transfer_reference_size CHECK (octet_length(reference) BETWEEN 1 AND 560)
);
CREATE INDEX transfer_refunds_idx ON postonce.transfer (refunds) WHERE refunds IS NOT NULL;

-- One row for each key that was decided for good. `result` is the answer, byte for byte.
CREATE TABLE postonce.inbox (
    "offset"     bigint NOT NULL,
    command_time timestamptz,     -- of the record; NULL: it had none
    decided_at   timestamptz NOT NULL DEFAULT now(),
    partition    integer NOT NULL,
    payment_id   uuid,
    key          text COLLATE "C" NOT NULL,
    operation    text COLLATE "C" NOT NULL,
    client       text COLLATE "C" NOT NULL,
    outcome      text COLLATE "C" NOT NULL,
    code         text COLLATE "C",
    topic        text COLLATE "C" NOT NULL,
    fingerprint  bytea NOT NULL,
    result       bytea NOT NULL,
    CONSTRAINT inbox_pkey PRIMARY KEY (key),
    CONSTRAINT inbox_key_size CHECK (octet_length(key) BETWEEN 1 AND 255),
    CONSTRAINT inbox_client_size CHECK (octet_length(client) BETWEEN 1 AND 64),
    CONSTRAINT inbox_fingerprint_size CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT inbox_outcome CHECK (CASE outcome
        WHEN 'applied' THEN code IS NULL AND (payment_id IS NULL) = (operation = 'open_account')
        WHEN 'rejected' THEN code IS NOT NULL AND payment_id IS NULL
        ELSE false END)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02);
-- The way from a payment id, which begins with the time of its record, to the row of its
-- command. Costs an insert next to nothing; the vacuum, here more frequent, keeps it up.
CREATE INDEX inbox_command_time_idx ON postonce.inbox USING brin (command_time);

-- One row for each record that was decided and left no row in the inbox.
CREATE TABLE postonce.dead_letter (
    "offset"     bigint NOT NULL,
    command_time timestamptz,
    decided_at   timestamptz NOT NULL DEFAULT now(),
    partition    integer NOT NULL,
    topic        text COLLATE "C" NOT NULL,
    outcome      text COLLATE "C" NOT NULL,
    code         text COLLATE "C" NOT NULL,
    key          text COLLATE "C",
    result       bytea,           -- NULL: there was no valid key to answer under
    CONSTRAINT dead_letter_pkey PRIMARY KEY (topic, partition, "offset"),
    CONSTRAINT dead_letter_outcome
        CHECK (outcome IN ('conflict', 'malformed', 'expired', 'poison')),
    CONSTRAINT dead_letter_result_has_key CHECK (result IS NULL OR key IS NOT NULL)
);
CREATE INDEX dead_letter_key_idx ON postonce.dead_letter (key) WHERE key IS NOT NULL;

-- Where each partition stands, and who may write: only the holder of the last epoch.
CREATE TABLE postonce.stream_position (
    next_offset bigint NOT NULL,
    epoch       bigint NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    partition   integer NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    CONSTRAINT stream_position_pkey PRIMARY KEY (topic, partition),
    CONSTRAINT stream_position_not_negative CHECK (next_offset >= 0 AND epoch > 0)
) WITH (fillfactor = 50);

-- Both legs of each transfer, as a bookkeeper reads them.
CREATE VIEW postonce.entry AS
SELECT t.payment_id, a.account_id, a.name AS account, -t.amount_minor AS amount_minor,
       t.debit_balance_minor AS balance_minor, t.debit_version AS version
  FROM postonce.transfer t
  JOIN postonce.account a ON a.account_id = t.debit_account_id
UNION ALL
SELECT t.payment_id, a.account_id, a.name, t.amount_minor,
       t.credit_balance_minor, t.credit_version
  FROM postonce.transfer t
  JOIN postonce.account a ON a.account_id = t.credit_account_id;

-- All statements of a batch are sent at once, COMMIT among them: one that did not hit the
-- rows it had to hit must fail by itself. SQLSTATE ZP001: another consumer owns the
-- partition; ZP002: an account was moved by somebody else.
CREATE FUNCTION postonce.must_hit(hit bigint, wanted bigint, state text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF hit = wanted THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION '% of % rows were as this batch knew them', hit, wanted
        USING ERRCODE = state;
END $$;

-- A refund names a payment that is none itself, and all its refunds together are not more
-- than it. Two refunds of one payment at once are kept apart by the locks on its accounts.
CREATE FUNCTION postonce.refunds_within_payment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    paid     bigint;
    refunded numeric;
BEGIN
    SELECT amount_minor INTO paid FROM postonce.transfer
     WHERE payment_id = NEW.refunds AND refunds IS NULL;
    SELECT sum(amount_minor) INTO refunded FROM postonce.transfer
     WHERE refunds = NEW.refunds;
    IF paid IS NULL OR refunded > paid THEN
        RAISE EXCEPTION 'a refund exceeds its payment, or there is no such payment'
            USING ERRCODE = 'check_violation', TABLE = 'transfer',
                  CONSTRAINT = 'transfer_refunds_within_payment';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER transfer_refunds_within_payment
    AFTER INSERT ON postonce.transfer FOR EACH ROW
    WHEN (NEW.refunds IS NOT NULL) EXECUTE FUNCTION postonce.refunds_within_payment();

-- History is not rewritten: a consumer may add to inbox, transfer and dead_letter, not change
-- them. These are its rights (DESIGN §3), for whatever role it logs in as, or for the group
-- role below: SELECT postonce.grant_consumer('ROLE').
CREATE FUNCTION postonce.grant_consumer(grantee name) RETURNS void
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
        'SELECT, INSERT, UPDATE (next_offset, epoch, claimed_at) ON postonce.stream_position']
    LOOP
        EXECUTE format('GRANT %s TO %I', rights, grantee);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION postonce.grant_consumer(name) FROM PUBLIC;

-- The group role, to be granted to login roles. Roles belong to the whole cluster: it may
-- exist already, be created at this moment for another database, or be beyond our rights.
-- Then an administrator creates it, and the owner of the schema calls the function above.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'postonce_consumer') THEN
        CREATE ROLE postonce_consumer NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
        NULL;
END $$;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'postonce_consumer') THEN
        PERFORM postonce.grant_consumer('postonce_consumer');
    END IF;
END $$;
