/* postgres_audit_passes.c: see postgres_audit_passes.h.
 *
 * Everything that can be derived is derived again, from other rows than the one that is
 * judged: the bytes of a result, a fingerprint, a payment id. No expression may fail on
 * damaged data, because that would end the audit at the first damage: bytes become text
 * as LATIN1, which any bytes are, text becomes JSON or a number only after a pattern has
 * said that it is one. OFFSET '0' keeps the planner from working out a value again for
 * each use of it; it is a bigint as it stands, because parallel workers are ruled out by
 * what has yet to be cast to one, as OFFSET 0 has. */
#include "consumer/postgres_audit_passes.h"

#include "consumer/postgres_audit_guards.h"
#include "schema/code.h"

/* --- pieces --- */

/* Both legs of each transfer: all that is needed for sums and chains. */
#define ENTRIES                                                                      \
    "(SELECT debit_account_id AS account_id, -amount_minor AS amount,"               \
    "        debit_balance_minor AS balance, debit_version AS version, payment_id"   \
    "   FROM postonce.transfer"                                                      \
    " UNION ALL"                                                                     \
    " SELECT credit_account_id, amount_minor, credit_balance_minor, credit_version," \
    "        payment_id"                                                             \
    "   FROM postonce.transfer)"

/* 64 bits for a version and the balance after it. */
#define MARK(version, balance) \
    "hashint8extended(" balance ", hashint8extended(" version ", 0))"

/* The balance before an entry; NULL where it would leave the range of bigint. */
#define BEFORE                                                                   \
    "CASE WHEN (e.amount >= 0 AND e.balance >= -9223372036854775807 + e.amount)" \
    "       OR (e.amount < 0 AND e.balance <= 9223372036854775807 + e.amount)"   \
    "     THEN e.balance - e.amount END"

/* `(minor * unit)::text` has exactly the currency's decimals, because a product has the
 * decimals of its factors. */
#define CURRENCIES                                           \
    "(SELECT c.code, ('1e-' || c.exponent)::numeric AS unit" \
    "   FROM unnest($2::text[], $3::int4[]) AS c(code, exponent))"

#define JSON(text) "to_json(" text ")::text"

/* One object whose members are all strings, without \u0000 and surrogates: what is of
 * this form, jsonb reads. */
#define STRING                                       \
    "\"([^\"\\\\\\u0000-\\u001f]|\\\\[\"\\\\/bfnrt]" \
    "|\\\\u00(0[1-9a-f]|1[0-9a-f]))*\""
#define FLAT_JSON "^\\{" STRING ":" STRING "(," STRING ":" STRING ")*\\}$"
/* A member as it is written, or nothing. */
#define MEMBER(name) "coalesce(',\"" name "\":' || (doc -> '" name "')::text, '')"
/* A member that is an amount, in minor units. */
#define MINOR(name)                                           \
    "CASE WHEN length(doc ->> '" name "') <= 18"              \
    "      AND doc ->> '" name "' ~ '^-?[0-9]+(\\.[0-9]+)?$'" \
    "     THEN replace(doc ->> '" name "', '.', '')::int8 END"
#define UUID(name)                                              \
    "CASE WHEN doc ->> '" name "'"                              \
    "          ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'" \
    "     THEN (doc ->> '" name "')::uuid END"
/* A member's own bytes. */
#define BYTES(name) "convert_to(doc ->> '" name "', 'LATIN1')"

/* Rows whose result is a document, with what is needed of it: worked out one below the
 * other, not side by side, because that is what parallel workers can do. */
/* clang-format off */
#define WITH_DOCUMENTS(from)                                                           \
    "(SELECT m.*, " MINOR("amount") " AS amount,"                                      \
    "        " MINOR("minimum_balance") " AS minimum"                                  \
    "   FROM (SELECT l.*, CASE WHEN latin ~ '" FLAT_JSON "'"                           \
    "                          THEN latin::jsonb END AS doc"                           \
    "           FROM (SELECT r.*, CASE WHEN position('\\x00'::bytea IN r.result) = 0"  \
    "                             THEN convert_from(r.result, 'LATIN1') END AS latin"  \
    "                   FROM " from " OFFSET '0') AS l OFFSET '0') AS m OFFSET '0')"
/* clang-format on */

/* The canonical form that fingerprints are made of: see schema/command.c. */
#define PUT_BYTES(bytes) "substr(int4send(octet_length(" bytes ")), 3, 2) || " bytes " "
#define PUT_TEXT(text) \
    "substr(int4send(octet_length(" text ")), 3, 2) || convert_to(" text ", 'UTF8') "
#define PUT_MINOR(minor) "'\\x0008'::bytea || int8send(" minor ") "
#define PUT_UUID(uuid) "'\\x0010'::bytea || uuid_send(" uuid ") "
/* What results and fingerprints say of an account, once for each instead of each time. */
/* clang-format off */
#define ACCOUNT_TEXTS                                                                  \
    "(SELECT a.account_id, u.unit,"                                                    \
    "        " PUT_TEXT("a.name") " AS put_name,"                                      \
    "        " PUT_TEXT("a.currency") " AS put_currency,"                              \
    "        " JSON("a.name") " AS json_name, " JSON("a.currency") " AS json_currency" \
    "   FROM postonce.account a LEFT JOIN " CURRENCIES " AS u ON u.code = a.currency"  \
    " OFFSET '0')"
/* clang-format on */
#define HEADING "'\\x01'::bytea || " PUT_TEXT("i.operation") " || " PUT_TEXT("i.client")

#define INBOX_COLUMNS "i.key, i.topic, i.partition, i.\"offset\", i.payment_id"
/* 64 bits for a topic and a partition of it. */
#define PLACE(row) "hashtextextended(" row ".topic, " row ".partition)"
#define IN_FUTURE(row) row ".decided_at > now() + interval '1 hour'"
#define POSITION_OF(row)                    \
    " LEFT JOIN postonce.stream_position p" \
    "   ON p.topic = " row ".topic AND p.partition = " row ".partition"
#define NOT_BELOW_NEXT(row)    \
    "(" row ".\"offset\" >= 0" \
    " AND " row ".\"offset\" < p.next_offset) IS NOT TRUE"

/* --- what is derived again --- */

/* Bytes 6 to 15: SHA-256(key), with the bits of version 7 and of the variant set. A time
 * beyond the year 9999 is not stored as it was. */
#define ID_TAIL                                           \
    "set_bit(set_bit(set_bit(set_bit(set_bit(set_bit("    \
    "  substr(sha256(convert_to(i.key, 'UTF8')), 1, 10)," \
    "  4, 1), 5, 1), 6, 1), 7, 0), 22, 0), 23, 1)"
#define ID_TIME \
    "substr(int8send(coalesce(extract(epoch FROM i.command_time) * 1000, 0)::int8), 3)"
#define ID_NOT_DERIVED                                            \
    "substr(uuid_send(i.payment_id), 7) <> " ID_TAIL              \
    " OR ((i.command_time >= '9999-12-31 23:59:59Z') IS NOT TRUE" \
    "     AND substr(uuid_send(i.payment_id), 1, 6) <> " ID_TIME ")"

/* SQL is to be read as SQL. */
/* clang-format off */
#define PAYMENT_CANONICAL                                                              \
    HEADING " || CASE WHEN t.refunds IS NULL"                                          \
    " THEN d.put_name || c.put_name ELSE " PUT_UUID("t.refunds") " END"                \
    " || " PUT_MINOR("t.amount_minor") " || d.put_currency"                            \
    " || " PUT_TEXT("coalesce(t.reference, '')")
#define PAYMENT_RESULT                                                                 \
    "'{\"idempotency_key\":' || " JSON("i.key")                                        \
    " || ',\"operation\":' || " JSON("i.operation")                                    \
    " || ',\"client\":' || " JSON("i.client")                                          \
    " || ',\"outcome\":\"applied\",\"payment_id\":\"' || i.payment_id::text || '\"'"   \
    " || CASE WHEN t.refunds IS NULL THEN ',\"source\":' || d.json_name"               \
    "         || ',\"destination\":' || c.json_name ELSE '' END"                       \
    " || ',\"amount\":\"' || (t.amount_minor * d.unit)::text"                          \
    " || '\",\"currency\":' || d.json_currency"                                        \
    " || ',\"balance\":\"' || (t.debit_balance_minor * d.unit)::text || '\"'"          \
    " || coalesce(',\"refunded_payment_id\":\"' || t.refunds::text || '\"', '')"       \
    " || coalesce(',\"reference\":' || " JSON("t.reference") ", '') || '}'"

#define OTHER_CANONICAL                                                                \
    HEADING " || CASE i.operation"                                                     \
    " WHEN 'open_account' THEN " PUT_BYTES(BYTES("account"))                           \
    "   || " PUT_BYTES(BYTES("currency")) " || CASE"                                   \
    "   WHEN NOT doc ? 'minimum_balance' THEN '\\x0000'::bytea"                        \
    "   ELSE " PUT_MINOR("minimum") " END"                                             \
    " ELSE CASE i.operation"                                                           \
    "   WHEN 'transfer' THEN " PUT_BYTES(BYTES("source"))                              \
    "     || " PUT_BYTES(BYTES("destination"))                                         \
    "   WHEN 'refund' THEN " PUT_UUID(UUID("refunded_payment_id")) " END"              \
    "   || " PUT_MINOR("amount") " || " PUT_BYTES(BYTES("currency"))                   \
    "   || " PUT_BYTES("coalesce(" BYTES("reference") ", '')") " END"
#define OTHER_RESULT                                                                   \
    "'{\"idempotency_key\":' || " JSON("i.key")                                        \
    " || ',\"operation\":' || " JSON("i.operation")                                    \
    " || ',\"client\":' || " JSON("i.client")                                          \
    " || ',\"outcome\":' || " JSON("i.outcome")                                        \
    " || coalesce(',\"code\":' || " JSON("i.code") " || " MEMBER("detail") ", '')"     \
    " || " MEMBER("account") " || " MEMBER("source") " || " MEMBER("destination")      \
    " || CASE WHEN doc ? 'amount'"                                                     \
    "    THEN ',\"amount\":\"' || (amount * u.unit)::text || '\"'"                     \
    "    ELSE '' END"                                                                  \
    " || " MEMBER("currency")                                                          \
    " || CASE WHEN doc ? 'minimum_balance' THEN ',\"minimum_balance\":\"'"             \
    "    || (minimum * u.unit)::text || '\"' ELSE '' END"                              \
    " || CASE WHEN i.outcome = 'applied'"                                              \
    "    THEN ',\"balance\":\"' || (0 * u.unit)::text || '\"' ELSE '' END"             \
    " || " MEMBER("refunded_payment_id") " || " MEMBER("reference") " || '}'"

#define LETTER_RESULT                                                                  \
    "'{\"idempotency_key\":' || " JSON("d.key")                                        \
    " || " MEMBER("operation") " || " MEMBER("client")                                 \
    " || ',\"outcome\":' || " JSON("d.outcome")                                        \
    " || ',\"code\":' || " JSON("d.code") " || " MEMBER("detail") " || '}'"

/* What a refusal may be, by operation. A refund is decided like a transfer once its
 * payment is found, but then both accounts exist. */
#define REFUSALS                                                                       \
    "'{open_account/account_exists,transfer/source_unknown,"                           \
    "transfer/destination_unknown,transfer/currency_mismatch,"                         \
    "transfer/insufficient_funds,transfer/balance_overflow,refund/payment_unknown,"    \
    "refund/payment_not_refundable,refund/currency_mismatch,"                          \
    "refund/refund_exceeds_payment,refund/insufficient_funds,refund/balance_overflow}'"

/* OUTCOME/code for every code there is. */
#define CODE_OF_OUTCOME(suffix, name, outcome, sentence) #outcome "/" #name ","
#define ALL_CODES "'{" CODES(CODE_OF_OUTCOME) "none}'"
/* clang-format on */

/* --- the passes --- */

/* An account's entries lead from zero to its balance exactly if the set of (version,
 * balance after), with (0, 0), is the set of (version − 1, balance before), with the
 * account's own version and balance. Both are compared as sums of 64-bit hashes, in one
 * sweep without sorting; only accounts where they differ are looked at entry by entry. */
/* clang-format off */
#define MARKS_DIFFER                                                                   \
    "coalesce(e.afters, 0) + " MARK("0::int8", "0::int8")                              \
    " <> coalesce(e.befores, 0) + " MARK("a.version", "a.balance_minor")
#define SUMS                                                                           \
    " LEFT JOIN (SELECT e.account_id, sum(e.amount) AS amount, count(*) AS movements," \
    "                   sum(" MARK("e.version", "e.balance") ") AS afters,"            \
    "                   sum(" MARK("e.version - 1", BEFORE) ") AS befores"             \
    "              FROM " ENTRIES " AS e GROUP BY e.account_id) AS e"                  \
    "   ON e.account_id = a.account_id"
/* Coordinates, as the run of 32 offsets that they are in and their bit in it. Unless an
 * offset comes twice, the sum of a run's bits is all of them put together; only where it
 * is not, offsets are counted one by one. */
#define COORDINATES(table)                                                             \
    "SELECT topic, partition, \"offset\", \"offset\" >> 5 AS run,"                     \
    "       1::int8 << (\"offset\" & 31)::int4 AS bit FROM postonce." table
#define COORDINATES_TWICE                                                              \
    "(WITH r AS NOT MATERIALIZED"                                                      \
    "   (" COORDINATES("inbox") " UNION ALL " COORDINATES("dead_letter") "),"          \
    "  g AS MATERIALIZED (SELECT r.topic, r.partition, r.run FROM r GROUP BY 1, 2, 3"  \
    "                     HAVING sum(r.bit) <> bit_or(r.bit))"                         \
    " SELECT r.topic, r.partition, r.\"offset\", count(*) AS rows"                     \
    "   FROM r JOIN g USING (topic, partition, run)"                                   \
    "  WHERE EXISTS (SELECT FROM g) GROUP BY 1, 2, 3 HAVING count(*) > 1)"
/* The entries with the offsets of their commands. By two numbers and without texts,
 * because both legs of all transfers are sorted. */
#define ENTRIES_OF_PLACES                                                              \
    "(SELECT e.account_id, e.payment_id, e.version, i.\"offset\","                     \
    "        lag(i.\"offset\") OVER (PARTITION BY e.account_id, i.place"               \
    "                                ORDER BY e.version) AS offset_before"             \
    "   FROM " ENTRIES " AS e"                                                         \
    "   JOIN (SELECT r.payment_id, r.\"offset\", " PLACE("r") " AS place"              \
    "           FROM postonce.inbox r) AS i ON i.payment_id = e.payment_id)"
/* The accounts that were opened, as the results of the commands tell. */
#define OPENED                                                                         \
    "(SELECT doc ->> 'account' AS name, count(*) AS times FROM " WITH_DOCUMENTS(       \
        "postonce.inbox r WHERE r.operation = 'open_account'"                          \
        " AND r.outcome = 'applied'") " AS i GROUP BY 1)"
/* What has no transfer, with the account of an applied command. */
#define REFUSED_OR_OPENED                                                              \
    WITH_DOCUMENTS("postonce.inbox r WHERE r.payment_id IS NULL") " AS i"              \
    " LEFT JOIN postonce.account a"                                                    \
    "   ON a.name = CASE WHEN i.outcome = 'applied' THEN doc ->> 'account' END"        \
    " LEFT JOIN " CURRENCIES " AS u ON u.code = doc ->> 'currency'" POSITION_OF("i")
#define LETTERS                                                                        \
    WITH_DOCUMENTS("postonce.dead_letter r") " AS d"                                   \
    " LEFT JOIN postonce.inbox i ON i.key = d.key" POSITION_OF("d")
/* clang-format on */

const struct audit_pass audit_passes[] = {
    {.title = "guards of the schema",
     .columns = "w.relation AS table, w.name, n.definition",
     .from =
         GUARDS " LEFT JOIN pg_constraint k ON k.conname = w.name"
                "   AND k.conrelid = to_regclass('postonce.' || w.relation)"
                " LEFT JOIN pg_trigger g ON g.tgconstraint = k.oid"
                "   AND g.tgrelid = k.conrelid"
                " LEFT JOIN pg_index x ON x.indexrelid = k.conindid"
                " LEFT JOIN pg_proc f ON f.proname = w.name AND w.relation IS NULL"
                "   AND f.pronamespace = to_regnamespace('postonce')"
                " CROSS JOIN LATERAL (SELECT " GUARD_DEFINITION " AS definition) AS n",
     .conditions = {{AUDIT_GUARD_MISSING,
                     "(k.oid IS NULL AND f.oid IS NULL) OR NOT k.convalidated"
                     " OR g.tgenabled IN ('D', 'R')"
                     " OR NOT x.indisvalid OR NOT x.indisready"
                     " OR (k.contype = 't' AND g.oid IS NULL)"},
                    {AUDIT_GUARD_ALTERED, "n.definition <> w.definition"}}},
    {.title = "sums of the currencies",
     .columns = "s.currency, s.sum_minor, s.accounts",
     .from = "(SELECT a.currency, sum(a.balance_minor) AS sum_minor, count(*) AS accounts"
             "   FROM postonce.account a GROUP BY a.currency) AS s",
     .conditions = {{AUDIT_CURRENCY_SUM, "s.sum_minor <> 0"}}},
    /* Whoever may not look at the sequence sees no last value. */
    {.title = "account ids",
     .columns = "s.account_id, s.last_value",
     .from = "(SELECT max(a.account_id) AS account_id,"
             "        (SELECT coalesce(q.last_value, 0) FROM pg_sequences q"
             "          WHERE q.schemaname = 'postonce' AND q.sequencename = 'account_id'"
             "            AND has_sequence_privilege("
             "                    to_regclass('postonce.account_id')::oid, 'SELECT')"
             "        ) AS last_value"
             "   FROM postonce.account a) AS s",
     .conditions = {{AUDIT_ACCOUNT_ID_AHEAD,
                     "s.account_id > s.last_value"
                     " OR to_regclass('postonce.account_id') IS NULL"}}},
    {.title = "accounts against entries",
     .columns = "a.name AS account, a.currency, a.balance_minor,"
                " coalesce(e.amount, 0) AS entries_minor, a.version,"
                " coalesce(e.movements, 0) AS entries, a.minimum_balance_minor",
     .from = "postonce.account a" SUMS " LEFT JOIN " OPENED " AS o ON o.name = a.name"
             " LEFT JOIN " CURRENCIES " AS u ON u.code = a.currency",
     .conditions = {{AUDIT_ACCOUNT_INVALID,
                     "a.name !~ '^[!-~]+$' OR octet_length(a.name) > 64"
                     " OR u.code IS NULL OR a.minimum_balance_minor > 0"
                     " OR a.minimum_balance_minor < -999999999999999"},
                    {AUDIT_ACCOUNT_UNOPENED, "o.name IS NULL"},
                    {AUDIT_ACCOUNT_OPENED_TWICE, "o.times > 1"},
                    {AUDIT_BALANCE_NOT_SUM, "a.balance_minor <> coalesce(e.amount, 0)"},
                    {AUDIT_BELOW_MINIMUM, "a.balance_minor < a.minimum_balance_minor"},
                    {AUDIT_VERSION_NOT_COUNT, "a.version <> coalesce(e.movements, 0)"},
                    {AUDIT_CHAIN_BROKEN, MARKS_DIFFER}},
     .uses_currencies = true},
    {.title = "entries, one by one",
     .columns = "x.account, x.payment_id, x.version, x.amount_minor, x.balance_minor,"
                " x.balance_before_minor",
     .from = "(SELECT b.name AS account, e.payment_id, e.version,"
             "        e.amount AS amount_minor, e.balance AS balance_minor,"
             "        coalesce(lag(e.balance) OVER w, 0) AS balance_before_minor,"
             "        coalesce(lag(e.version) OVER w, 0) AS version_before,"
             "        lead(e.version) OVER w IS NULL AS is_last,"
             "        b.balance_minor AS account_balance"
             "   FROM (SELECT a.account_id, a.name, a.balance_minor"
             "           FROM postonce.account a" SUMS "  WHERE " MARKS_DIFFER ") AS b"
             "   JOIN " ENTRIES " AS e ON e.account_id = b.account_id"
             " WINDOW w AS (PARTITION BY e.account_id ORDER BY e.version, e.payment_id))"
             " AS x",
     .conditions = {{AUDIT_VERSION_GAP, "x.version::numeric > x.version_before + 1"},
                    {AUDIT_VERSION_TWICE, "x.version = x.version_before"},
                    {AUDIT_RUNNING_BALANCE, "x.version = x.version_before + 1"
                                            " AND x.balance_before_minor::numeric"
                                            " + x.amount_minor <> x.balance_minor"},
                    {AUDIT_LAST_BALANCE,
                     "x.is_last AND x.balance_minor <> x.account_balance"}},
     .only_after_break = true,
     .names_command = true},
    {.title = "order of the entries",
     .columns = "(SELECT a.name FROM postonce.account a"
                "  WHERE a.account_id = x.account_id) AS account, x.version,"
                " x.payment_id",
     .from = ENTRIES_OF_PLACES " AS x WHERE x.\"offset\" <= x.offset_before",
     .conditions = {{AUDIT_OUT_OF_ORDER, "true"}},
     .names_command = true},
    {.title = "transfers against accounts and commands",
     .columns = "t.payment_id, d.name AS debit_account, c.name AS credit_account,"
                " t.amount_minor, i.key, i.topic, i.partition, i.\"offset\"",
     .from = "postonce.transfer t"
             " LEFT JOIN postonce.account d ON d.account_id = t.debit_account_id"
             " LEFT JOIN postonce.account c ON c.account_id = t.credit_account_id"
             " LEFT JOIN postonce.inbox i ON i.payment_id = t.payment_id",
     .conditions =
         {{AUDIT_TRANSFER_INVALID,
           "t.amount_minor NOT BETWEEN 1 AND 999999999999999 OR t.debit_version < 1"
           " OR t.credit_version < 1 OR octet_length(t.client) NOT BETWEEN 1 AND 64"
           " OR length(t.reference) NOT BETWEEN 1 AND 140"
           " OR t.debit_account_id = t.credit_account_id"},
          {AUDIT_ACCOUNT_MISSING, "d.account_id IS NULL OR c.account_id IS NULL"},
          {AUDIT_CURRENCIES_DIFFER, "d.currency <> c.currency"},
          {AUDIT_DEBIT_BELOW_MINIMUM, "t.debit_balance_minor < d.minimum_balance_minor"},
          {AUDIT_TRANSFER_WITHOUT_COMMAND, "i.key IS NULL"}}},
    {.title = "refunds against payments",
     .columns = "t.payment_id, t.refunds, t.client, t.amount_minor",
     .from = "postonce.transfer t"
             " LEFT JOIN postonce.transfer p ON p.payment_id = t.refunds"
             " WHERE t.refunds IS NOT NULL",
     .conditions = {{AUDIT_REFUND_OF_NOTHING, "p.payment_id IS NULL"},
                    {AUDIT_REFUND_OF_REFUND, "p.refunds IS NOT NULL"},
                    {AUDIT_REFUND_NOT_MIRRORED,
                     "t.debit_account_id <> p.credit_account_id"
                     " OR t.credit_account_id <> p.debit_account_id"},
                    {AUDIT_REFUND_OF_OTHER_CLIENT, "t.client <> p.client"},
                    {AUDIT_REFUND_BEFORE_PAYMENT,
                     "(t.debit_account_id = p.credit_account_id"
                     "  AND t.debit_version <= p.credit_version)"
                     " OR (t.credit_account_id = p.debit_account_id"
                     "  AND t.credit_version <= p.debit_version)"}},
     .names_command = true},
    {.title = "sums of the refunds",
     .columns = "p.payment_id, p.amount_minor, r.refunded_minor",
     .from = "(SELECT t.refunds, sum(t.amount_minor) AS refunded_minor"
             "   FROM postonce.transfer t WHERE t.refunds IS NOT NULL GROUP BY 1) AS r"
             " JOIN postonce.transfer p ON p.payment_id = r.refunds",
     .conditions = {{AUDIT_REFUNDS_EXCEED_PAYMENT, "r.refunded_minor > p.amount_minor"}},
     .names_command = true},
    {.title = "applied payments against transfers",
     .columns = INBOX_COLUMNS,
     .from = "postonce.inbox i"
             " LEFT JOIN postonce.transfer t ON t.payment_id = i.payment_id"
             " LEFT JOIN " ACCOUNT_TEXTS " AS d ON d.account_id = t.debit_account_id"
             " LEFT JOIN " ACCOUNT_TEXTS
             " AS c ON c.account_id = t.credit_account_id" POSITION_OF(
                 "i") " WHERE i.payment_id IS NOT NULL",
     .conditions =
         {{AUDIT_ROW_INVALID, "i.outcome <> 'applied' OR i.code IS NOT NULL"
                              " OR i.operation NOT IN ('transfer', 'refund')"},
          {AUDIT_APPLIED_WITHOUT_TRANSFER, "t.payment_id IS NULL"},
          {AUDIT_TRANSFER_DIFFERS, "t.client <> i.client OR (t.refunds IS NOT NULL)"
                                   " <> (i.operation = 'refund')"},
          {AUDIT_PAYMENT_ID_NOT_DERIVED, ID_NOT_DERIVED},
          {AUDIT_FINGERPRINT_DIFFERS, "sha256(" PAYMENT_CANONICAL ") <> i.fingerprint"},
          {AUDIT_RESULT_DIFFERS, "convert_to(" PAYMENT_RESULT ", 'UTF8') <> i.result"},
          {AUDIT_DECIDED_IN_FUTURE, IN_FUTURE("i")},
          {AUDIT_OFFSET_NOT_BELOW_NEXT, NOT_BELOW_NEXT("i")}},
     .uses_currencies = true},
    {.title = "refusals and opened accounts",
     .columns = INBOX_COLUMNS,
     .from = REFUSED_OR_OPENED,
     .conditions =
         {{AUDIT_ROW_INVALID,
           "((i.outcome = 'applied' AND i.code IS NULL AND i.operation = 'open_account')"
           " OR (i.outcome = 'rejected' AND i.operation || '/' || i.code = ANY (" REFUSALS
           "::text[]))) IS NOT TRUE"},
          {AUDIT_APPLIED_WITHOUT_ACCOUNT, "i.outcome = 'applied' AND doc IS NOT NULL"
                                          " AND a.account_id IS NULL"},
          {AUDIT_ACCOUNT_DIFFERS,
           "a.currency <> doc ->> 'currency'"
           " OR (a.account_id IS NOT NULL AND (a.minimum_balance_minor * u.unit)::text"
           "     IS DISTINCT FROM doc ->> 'minimum_balance')"},
          {AUDIT_FINGERPRINT_DIFFERS,
           "doc IS NOT NULL"
           " AND sha256(" OTHER_CANONICAL ") IS DISTINCT FROM i.fingerprint"},
          {AUDIT_RESULT_DIFFERS, "doc IS NULL OR " OTHER_RESULT " IS DISTINCT FROM latin"
                                 " OR i.code IS NOT NULL AND NOT doc ? 'detail'"},
          {AUDIT_DECIDED_IN_FUTURE, IN_FUTURE("i")},
          {AUDIT_OFFSET_NOT_BELOW_NEXT, NOT_BELOW_NEXT("i")}},
     .uses_currencies = true},
    {.title = "dead letters",
     .columns = "d.topic, d.partition, d.\"offset\", d.key, d.outcome, d.code",
     .from = LETTERS,
     .conditions = {{AUDIT_LETTER_INVALID,
                     "d.outcome NOT IN ('conflict', 'malformed', 'expired', 'poison')"
                     " OR upper(d.outcome) || '/' || d.code <> ALL (" ALL_CODES
                     "::text[])"
                     " OR (d.key IS NULL)"
                     "    <> (d.code IN ('key_missing', 'key_invalid', 'key_ambiguous'))"
                     " OR (d.result IS NULL) <> (d.key IS NULL)"},
                    {AUDIT_RESULT_DIFFERS,
                     "d.result IS NOT NULL AND (doc IS NULL"
                     " OR " LETTER_RESULT " IS DISTINCT FROM latin"
                     " OR NOT doc ? 'detail' OR (doc ? 'operation') <> (doc ? 'client')"
                     " OR (d.outcome <> 'malformed' AND NOT doc ? 'client'))"},
                    {AUDIT_CONFLICT_WITHOUT_FIRST,
                     "d.outcome = 'conflict' AND i.key IS NULL"},
                    {AUDIT_DECIDED_IN_FUTURE, IN_FUTURE("d")},
                    {AUDIT_OFFSET_NOT_BELOW_NEXT, NOT_BELOW_NEXT("d")}}},
    {.title = "positions",
     .columns = "p.topic, p.partition, p.next_offset, p.epoch",
     .from = "postonce.stream_position p",
     .conditions = {{AUDIT_POSITION_INVALID, "p.next_offset < 0 OR p.epoch < 1"
                                             " OR p.partition < 0"
                                             " OR p.last_offset NOT BETWEEN 0"
                                             "    AND p.next_offset - 1"
                                             " OR (p.last_offset IS NULL)"
                                             "    <> (p.last_timestamp_ms IS NULL)"}}},
    {.title = "coordinates",
     .columns = "s.topic, s.partition, s.\"offset\", s.rows",
     .from = COORDINATES_TWICE " AS s",
     .conditions = {{AUDIT_COORDINATES_TWICE, "true"}}},
};
const size_t audit_pass_count = sizeof audit_passes / sizeof *audit_passes;

/* --- the digest --- */

/* Rows come in any order, so that what is added up is a hash of each: SHA-256 of the row
 * as text, and of its long values as they are, as four numbers of 64 bits. Accounts go by
 * name: their ids have gaps that another course of the same events does not. */
/* clang-format off */
#define BYTE(at, shift) "(get_byte(h," #at ")::int8<<" #shift ")"
#define LANE(b0, b1, b2, b3, b4, b5, b6, b7)                                           \
    " || ' ' || coalesce(sum(" BYTE(b0, 56) "|" BYTE(b1, 48) "|" BYTE(b2, 40)          \
    "|" BYTE(b3, 32) "|" BYTE(b4, 24) "|" BYTE(b5, 16) "|" BYTE(b6, 8)                 \
    "|" BYTE(b7, 0) "), 0)"
#define SUM_OF_ROWS(table, row, more, from)                                            \
    "SELECT '" table " ' || count(*)"                                                  \
    LANE(0, 1, 2, 3, 4, 5, 6, 7) LANE(8, 9, 10, 11, 12, 13, 14, 15)                    \
    LANE(16, 17, 18, 19, 20, 21, 22, 23) LANE(24, 25, 26, 27, 28, 29, 30, 31)          \
    " AS line FROM (SELECT sha256(convert_to(ROW(" row ")::text, 'UTF8')" more         \
    ") AS h FROM " from " OFFSET '0') AS r"

const char audit_sql_digest[] =
    "SELECT encode(sha256(convert_to(string_agg(b.line, E'\\n' ORDER BY b.line"
    "                                           COLLATE \"C\"), 'UTF8')), 'hex')"
    "  FROM (" SUM_OF_ROWS("account",
        "a.name, a.currency, a.minimum_balance_minor, a.balance_minor, a.version", "",
        "postonce.account a")
    " UNION ALL " SUM_OF_ROWS("transfer",
        "t.payment_id, t.client, t.refunds, t.reference, t.amount_minor, d.name,"
        " t.debit_balance_minor, t.debit_version, c.name, t.credit_balance_minor,"
        " t.credit_version", "",
        "postonce.transfer t"
        " LEFT JOIN postonce.account d ON d.account_id = t.debit_account_id"
        " LEFT JOIN postonce.account c ON c.account_id = t.credit_account_id")
    " UNION ALL " SUM_OF_ROWS("inbox",
        "i.key, i.operation, i.client, i.outcome, i.code, i.payment_id,"
        " octet_length(i.fingerprint)", " || i.fingerprint || i.result",
        "postonce.inbox i")
    ") AS b";
/* clang-format on */

/* --- runs of records of the topics --- */

#define OWN                                             \
    "(i.topic = $2::text AND i.partition = w.partition" \
    " AND i.\"offset\" = w.\"offset\")"
#define LATER                                           \
    "(i.topic = $2::text AND i.partition = w.partition" \
    " AND i.\"offset\" > w.\"offset\")"
#define BY_KEY_AND_PLACE                                      \
    " LEFT JOIN postonce.inbox i ON i.key = w.key"            \
    " LEFT JOIN postonce.dead_letter d ON d.topic = $2::text" \
    "   AND d.partition = w.partition AND d.\"offset\" = w.\"offset\""

/* Without a letter, a record is a valid command whose key was decided by it or before it;
 * what no letter remembers cannot have been malformed, unless this version is stricter
 * than the one that decided it, which then has its own row. */
const struct audit_pass audit_pass_commands = {
    .columns = "w.key, w.partition, w.\"offset\"",
    .from =
        "unnest($3::int4[], $4::int8[], $5::text[], $6::bytea[], $7::timestamptz[])"
        " AS w(partition, \"offset\", key, fingerprint, command_time)" BY_KEY_AND_PLACE,
    .conditions = {
        {AUDIT_RECORD_UNDECIDED, "d.outcome IS NULL AND (i.key IS NULL OR " LATER
                                 " OR (w.fingerprint IS NULL AND NOT " OWN "))"},
        {AUDIT_CONFLICT_UNDECIDED, "d.outcome IS NULL AND NOT " LATER " AND NOT " OWN
                                   " AND w.fingerprint <> i.fingerprint"},
        {AUDIT_CONFLICT_WITH_ITSELF,
         "d.outcome = 'conflict' AND w.fingerprint = i.fingerprint"},
        {AUDIT_LETTER_OF_OTHER_KEY,
         "d.outcome IS NOT NULL AND (d.key IS DISTINCT FROM w.key"
         " OR d.command_time IS DISTINCT FROM w.command_time)"},
        {AUDIT_ROW_OF_OTHER_RECORD,
         OWN " AND (w.fingerprint <> i.fingerprint"
             " OR i.command_time IS DISTINCT FROM w.command_time)"}}};

const struct audit_pass audit_pass_results = {
    .columns = "w.key, w.result_partition, w.result_offset, w.partition, w.\"offset\"",
    .from = "unnest($3::int4[], $4::int8[], $5::text[], $6::bytea[], $7::text[],"
            "       $8::int4[], $9::int4[], $10::int8[])"
            " AS w(partition, \"offset\", key, value, outcome, is_replayed,"
            "      result_partition, result_offset)" BY_KEY_AND_PLACE,
    .conditions = {
        {AUDIT_RESULT_UNKNOWN, "d.outcome IS NULL AND i.key IS NULL"},
        {AUDIT_RESULT_BYTES,
         "coalesce(d.outcome, i.outcome) IS NOT NULL AND w.value IS DISTINCT FROM"
         " CASE WHEN d.outcome IS NULL THEN i.result ELSE d.result END"},
        {AUDIT_RESULT_HEADERS,
         "coalesce(d.outcome, i.outcome) IS NOT NULL"
         " AND (w.outcome IS DISTINCT FROM coalesce(d.outcome, i.outcome)"
         "      OR w.key <> d.key)"},
        {AUDIT_RESULT_NOT_REPLAYED,
         "w.is_replayed = 0 AND d.outcome IS NULL AND i.key IS NOT NULL"
         " AND NOT " OWN}}};

const char audit_sql_not_own[] =
    "SELECT w.\"offset\""
    "  FROM unnest($2::int4[], $3::int8[], $4::text[]) AS w(partition, \"offset\", key)"
    "  LEFT JOIN postonce.inbox i ON i.key = w.key AND i.topic = $1::text"
    "   AND i.partition = w.partition AND i.\"offset\" = w.\"offset\""
    "  LEFT JOIN postonce.dead_letter d ON d.topic = $1::text"
    "   AND d.partition = w.partition AND d.\"offset\" = w.\"offset\""
    " WHERE i.key IS NULL AND d.outcome IS NULL";
const char audit_sql_rows[] =
    "DECLARE audit_rows NO SCROLL CURSOR FOR"
    " SELECT i.partition, i.\"offset\" FROM postonce.inbox i WHERE i.topic = $1::text"
    " UNION ALL"
    " SELECT d.partition, d.\"offset\" FROM postonce.dead_letter d WHERE d.topic = "
    "$1::text";
