/* postgres_audit_guards.h: the guards that keep damage out, as the migrations make them:
 * constraints and the trigger by what PostgreSQL says of them, functions by the MD5 of
 * their source. A test compares this with a migrated database and says what it has to
 * be. White space is told as one blank, because that is what versions may differ in. */
#ifndef CONSUMER_POSTGRES_AUDIT_GUARDS_H
#define CONSUMER_POSTGRES_AUDIT_GUARDS_H

/* Of the rows that are joined to a guard: k its constraint, g its trigger, f its
 * function. Whether a constraint was validated is a question of its own. */
#define GUARD_DEFINITION                                        \
    "regexp_replace(replace(coalesce(pg_get_triggerdef(g.oid)," \
    " pg_get_constraintdef(k.oid), md5(f.prosrc)), ' NOT VALID', ''), '\\s+', ' ', 'g')"

/* clang-format off */
#define GUARDS                                                                         \
    "(VALUES ('account', 'account_balance_above_minimum',"                             \
    "  'CHECK ((balance_minor >= minimum_balance_minor))'),"                           \
    " ('account', 'account_currency_size',"                                            \
    "  'CHECK ((octet_length(currency) = 3))'),"                                       \
    " ('account', 'account_minimum_not_positive',"                                     \
    "  'CHECK ((minimum_balance_minor <= 0))'),"                                       \
    " ('account', 'account_name_key',"                                                 \
    "  'UNIQUE (name)'),"                                                              \
    " ('account', 'account_name_size',"                                                \
    "  'CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 64)))'),"         \
    " ('account', 'account_pkey',"                                                     \
    "  'PRIMARY KEY (account_id)'),"                                                   \
    " ('account', 'account_version_not_negative',"                                     \
    "  'CHECK ((version >= 0))'),"                                                     \
    " ('transfer', 'transfer_amount_positive',"                                        \
    "  'CHECK ((amount_minor > 0))'),"                                                 \
    " ('transfer', 'transfer_client_size',"                                            \
    "  'CHECK (((octet_length(client) >= 1) AND (octet_length(client) <= 64)))'),"     \
    " ('transfer', 'transfer_pkey',"                                                   \
    "  'PRIMARY KEY (payment_id)'),"                                                   \
    " ('transfer', 'transfer_reference_size',"                                         \
    "  'CHECK (((octet_length(reference) >= 1) AND (octet_length(reference) <= "       \
    "560)))'),"                                                                        \
    " ('transfer', 'transfer_refunds_within_payment',"                                 \
    "  'CREATE CONSTRAINT TRIGGER transfer_refunds_within_payment AFTER INSERT "       \
    "ON postonce.transfer NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW "            \
    "WHEN ((new.refunds IS NOT NULL)) EXECUTE FUNCTION "                               \
    "postonce.refunds_within_payment()'),"                                             \
    " ('transfer', 'transfer_two_accounts',"                                           \
    "  'CHECK ((debit_account_id <> credit_account_id))'),"                            \
    " ('transfer', 'transfer_versions_positive',"                                      \
    "  'CHECK (((debit_version > 0) AND (credit_version > 0)))'),"                     \
    " ('inbox', 'inbox_client_size',"                                                  \
    "  'CHECK (((octet_length(client) >= 1) AND (octet_length(client) <= 64)))'),"     \
    " ('inbox', 'inbox_fingerprint_size',"                                             \
    "  'CHECK ((octet_length(fingerprint) = 32))'),"                                   \
    " ('inbox', 'inbox_key_size',"                                                     \
    "  'CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 255)))'),"          \
    " ('inbox', 'inbox_outcome',"                                                      \
    "  'CHECK ( CASE outcome WHEN ''applied''::text THEN ((code IS NULL) AND "         \
    "((payment_id IS NULL) = (operation = ''open_account''::text))) WHEN "             \
    "''rejected''::text THEN ((code IS NOT NULL) AND (payment_id IS NULL)) "           \
    "ELSE false END)'),"                                                               \
    " ('inbox', 'inbox_pkey',"                                                         \
    "  'PRIMARY KEY (key)'),"                                                          \
    " ('dead_letter', 'dead_letter_outcome',"                                          \
    "  'CHECK ((outcome = ANY (ARRAY[''conflict''::text, ''malformed''::text, "        \
    "''expired''::text, ''poison''::text])))'),"                                       \
    " ('dead_letter', 'dead_letter_pkey',"                                             \
    "  'PRIMARY KEY (topic, partition, \"offset\")'),"                                 \
    " ('dead_letter', 'dead_letter_result_has_key',"                                   \
    "  'CHECK (((result IS NULL) OR (key IS NOT NULL)))'),"                            \
    " ('stream_position', 'stream_position_not_negative',"                             \
    "  'CHECK (((next_offset >= 0) AND (epoch > 0)))'),"                               \
    " ('stream_position', 'stream_position_pkey',"                                     \
    "  'PRIMARY KEY (topic, partition)'),"                                             \
    " ('stream_position', 'stream_position_witness',"                                  \
    "  'CHECK ((((last_offset IS NULL) = (last_timestamp_ms IS NULL)) AND "            \
    "(last_offset < next_offset)))'),"                                                 \
    " (NULL, 'must_hit',"                                                              \
    "  '8e6d66a090afd85047ff72f5511469cd'),"                                           \
    " (NULL, 'refunds_within_payment',"                                                \
    "  '88a9ab642148d2d08af67ff310fbf0ed')) AS w(relation, name, definition)"
/* clang-format on */

#endif
