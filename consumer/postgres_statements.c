/* postgres_statements.c: see postgres_statements.h.
 *
 * Order of the locks in every transaction: stream_position by partition, then account by
 * id; where accounts are locked by the commit only, those that move before the others.
 * Every statement sees what was committed when it began (READ COMMITTED); so whatever the
 * locks protect is read by a later statement than the one that took them.
 *
 * A plan lives long, and the tables may have been empty when it was made: where the
 * planner takes a table for empty it reads all of it before it looks at a parameter. So
 * it is given no choice: `= ANY`, or OFFSET 0, which keeps the parameters on the outside.
 * An UPDATE has a choice; it is planned anew now and then (postgres_lookup.c). */
#include "consumer/postgres_statements.h"

const struct pg_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = {.name = "begin", .sql = "BEGIN ISOLATION LEVEL READ COMMITTED"},

    /* Some milliseconds: all statements are planned anew when they are next used. */
    [STATEMENT_REPLAN] = {.name = "replan", .sql = "DISCARD PLANS"},

    /* The epoch is compared by the caller: a condition on it would let the planner scan
     * all partitions of the topic. */
    [STATEMENT_FENCE] = {.name = "fence",
                         .sql = "SELECT p.partition, p.epoch, p.next_offset"
                                "  FROM postonce.stream_position p"
                                " WHERE p.topic = $1::text"
                                "   AND p.partition = ANY ($2::int4[])"
                                " ORDER BY p.partition"
                                "   FOR NO KEY UPDATE"},

    /* One statement for all accounts: two of them lock in an order of their own each, and
     * two connections that do that meet in deadlocks (DESIGN §7). */
    [STATEMENT_ACCOUNTS] =
        {.name = "accounts",
         .sql =
             "SELECT a.account_id, a.balance_minor, a.minimum_balance_minor, a.version,"
             "       a.currency, a.name"
             "  FROM postonce.account a"
             " WHERE a.account_id = ANY ($1::int8[] || ARRAY("
             "       SELECT n.account_id"
             "         FROM postonce.account n WHERE n.name = ANY ($2::text[])) || ARRAY("
             "       SELECT unnest(ARRAY[t.debit_account_id, t.credit_account_id])"
             "         FROM postonce.transfer t WHERE t.payment_id = ANY ($3::uuid[])))"
             " ORDER BY a.account_id"
             "   FOR NO KEY UPDATE"},

    [STATEMENT_READ_ACCOUNTS] =
        {.name = "read_accounts",
         .sql =
             "SELECT a.account_id, a.balance_minor, a.minimum_balance_minor, a.version,"
             "       a.currency, a.name"
             "  FROM postonce.account a"
             " WHERE a.name = ANY ($1::text[])"},

    [STATEMENT_INBOX] =
        {.name = "inbox",
         .sql = "SELECT w.ordinal, i.outcome, i.code, i.fingerprint, i.result"
                "  FROM unnest($1::text[]) WITH ORDINALITY AS w(key, ordinal)"
                " CROSS JOIN LATERAL ("
                "       SELECT b.outcome, b.code, b.fingerprint, b.result"
                "         FROM postonce.inbox b WHERE b.key = w.key"
                "       OFFSET 0) AS i"},

    [STATEMENT_LETTERS] =
        {.name = "letters",
         .sql = "SELECT w.partition, d.\"offset\", d.outcome, d.code, d.result"
                "  FROM unnest($2::int4[], $3::int8[], $4::int8[])"
                "       AS w(partition, first, last)"
                " CROSS JOIN LATERAL ("
                "       SELECT l.\"offset\", l.outcome, l.code, l.result"
                "         FROM postonce.dead_letter l"
                "        WHERE l.topic = $1::text AND l.partition = w.partition"
                "          AND l.\"offset\" BETWEEN w.first AND w.last"
                "       OFFSET 0) AS d"
                " ORDER BY w.partition, d.\"offset\""},

    [STATEMENT_PAYMENTS] =
        {.name = "payments",
         .sql = "SELECT t.payment_id, t.debit_account_id, t.credit_account_id,"
                "       t.amount_minor, t.refunds IS NOT NULL, t.client,"
                "       (SELECT coalesce(sum(r.amount_minor), 0)::int8"
                "          FROM postonce.transfer r WHERE r.refunds = t.payment_id)"
                "  FROM postonce.transfer t WHERE t.payment_id = ANY ($1::uuid[])"},

    [STATEMENT_NEW_IDS] = {.name = "new_ids",
                           .sql = "SELECT nextval('postonce.account_id')"
                                  "  FROM generate_series(1, $1::int8)"},

    [STATEMENT_INSERT_INBOX] =
        {.name = "insert_inbox",
         .sql = "INSERT INTO postonce.inbox (topic, key, operation, client, fingerprint,"
                "       outcome, code, payment_id, result, partition, \"offset\","
                "       command_time)"
                " SELECT $1::text, unnest($2::text[]), unnest($3::text[]),"
                "        unnest($4::text[]), unnest($5::bytea[]), unnest($6::text[]),"
                "        unnest($7::text[]), unnest($8::uuid[]), unnest($9::bytea[]),"
                "        unnest($10::int4[]), unnest($11::int8[]),"
                "        unnest($12::timestamptz[])"},

    [STATEMENT_INSERT_LETTERS] =
        {.name = "insert_letters",
         .sql = "INSERT INTO postonce.dead_letter (topic, partition, \"offset\", outcome,"
                "       code, key, result, command_time)"
                " SELECT $1::text, unnest($2::int4[]), unnest($3::int8[]),"
                "        unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),"
                "        unnest($7::bytea[]), unnest($8::timestamptz[])"},

    [STATEMENT_INSERT_ACCOUNTS] =
        {.name = "insert_accounts",
         .sql = "INSERT INTO postonce.account (account_id, balance_minor,"
                "       minimum_balance_minor, version, currency, name)"
                " SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::int8[]),"
                "        unnest($4::int8[]), unnest($5::text[]), unnest($6::text[])"},

    [STATEMENT_INSERT_TRANSFERS] =
        {.name = "insert_transfers",
         .sql = "INSERT INTO postonce.transfer (debit_account_id, credit_account_id,"
                "       amount_minor, debit_balance_minor, credit_balance_minor,"
                "       debit_version, credit_version, payment_id, refunds, client,"
                "       reference)"
                " SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::int8[]),"
                "        unnest($4::int8[]), unnest($5::int8[]), unnest($6::int8[]),"
                "        unnest($7::int8[]), unnest($8::uuid[]), unnest($9::uuid[]),"
                "        unnest($10::text[]), unnest($11::text[])"},

    [STATEMENT_MOVE_ACCOUNTS] =
        {.name = "move_accounts",
         .sql = "WITH moved AS ("
                "  UPDATE postonce.account a"
                "     SET balance_minor = w.balance_minor, version = w.version"
                "    FROM (SELECT unnest($2::int8[]), unnest($3::int8[]),"
                "                 unnest($4::int8[]), unnest($5::int8[]),"
                "                 unnest($6::int8[]))"
                "         AS w(account_id, balance_minor, version, version_before,"
                "              balance_before)"
                "   WHERE a.account_id = w.account_id AND a.version = w.version_before"
                "     AND a.balance_minor = w.balance_before"
                "  RETURNING 1)"
                " SELECT postonce.must_hit(count(*), $1::int8, 'ZP002') FROM moved"},

    /* Locked, or two batches could each rest on what the other moves. */
    [STATEMENT_HOLD_ACCOUNTS] =
        {.name = "hold_accounts",
         .sql = "WITH held AS ("
                "  SELECT 1"
                "    FROM (SELECT unnest($2::int8[]), unnest($3::int8[]),"
                "                 unnest($4::int8[]))"
                "         AS w(account_id, version, balance_minor)"
                "    JOIN postonce.account a ON a.account_id = w.account_id"
                "   WHERE a.version = w.version AND a.balance_minor = w.balance_minor"
                "     FOR NO KEY UPDATE OF a)"
                " SELECT postonce.must_hit(count(*), $1::int8, 'ZP002') FROM held"},

    [STATEMENT_MOVE_POSITIONS] =
        {.name = "move_positions",
         .sql = "WITH moved AS ("
                "  UPDATE postonce.stream_position p"
                "     SET next_offset = GREATEST(p.next_offset, w.next_offset),"
                "         last_offset = w.last_offset,"
                "         last_timestamp_ms = w.last_timestamp_ms"
                "    FROM unnest($3::int4[], $4::int8[], $5::int8[], $6::int8[],"
                "                $7::int8[])"
                "         AS w(partition, epoch, next_offset, last_offset,"
                "              last_timestamp_ms)"
                "   WHERE p.topic = $2::text AND p.partition = ANY ($3::int4[])"
                "     AND p.partition = w.partition AND p.epoch = w.epoch"
                "  RETURNING 1)"
                " SELECT postonce.must_hit(count(*), $1::int8, 'ZP001') FROM moved"},

    [STATEMENT_COMMIT] = {.name = "commit", .sql = "COMMIT", .is_commit = true},
};

/* A row that was not there has epoch 1 now; each later claim raises it. */
const struct pg_statement statement_claim = {
    .sql =
        "INSERT INTO postonce.stream_position AS p (topic, partition, next_offset, epoch)"
        " SELECT $1::text, w.partition, w.log_start, 1"
        "   FROM unnest($2::int4[], $3::int8[]) AS w(partition, log_start)"
        "  ORDER BY w.partition"
        " ON CONFLICT (topic, partition)"
        " DO UPDATE SET epoch = p.epoch + 1, claimed_at = now()"
        " RETURNING partition, next_offset, epoch, epoch > 1, last_offset,"
        "           last_timestamp_ms"};
