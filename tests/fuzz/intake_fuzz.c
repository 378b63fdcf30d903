/* intake_fuzz.c: from the bytes of a record to the bytes of its answer: headers and value
 * through intake, decision and result, all of it the real code.
 *
 * The input is written like a letter: a header a line, `name=value` or, without a value,
 * `name`; a blank line; the value. No blank line: the record has no value. The facts that
 * the decision gets (which accounts and payments there are, and what they hold) come from
 * a hash of the input. What the answer must look like is said a second time here, from
 * CONTRACT §3, and the same command written in other ways must stay the same command. */
#include <jansson.h>
#include <string.h>

#include "base/text_buffer.h"
#include "consumer/core/decide.h"
#include "consumer/decode.h"
#include "consumer/posting_memory.h"
#include "schema/command_scan.h"
#include "schema/money.h"
#include "schema/result.h"
#include "tests/fuzz/fuzz.h"

static struct digest *digest;
static struct posting *posting;

static void begin(void)
{
    if (digest != NULL)
        return;
    digest = digest_new();
    posting = posting_new(1);
}

/* --- the record --------------------------------------------------------------------- */

/* Memory of exactly this size, so that one byte read beyond it is seen. */
static uint8_t *copy_bytes(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    REQUIRE(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

static void offer_header(struct intake *intake, const uint8_t *line, size_t size)
{
    const uint8_t *equals = memchr(line, '=', size);
    size_t name_size = equals != NULL ? (size_t)(equals - line) : size;
    char *name = (char *)copy_bytes(line, name_size + 1); /* there is a line feed */
    name[name_size] = '\0';
    if (intake_is_key_header(name) && equals == NULL) {
        intake_key_header(intake, NULL, 0);
    } else if (intake_is_key_header(name)) {
        size_t value_size = size - name_size - 1;
        uint8_t *value = copy_bytes(equals + 1, value_size);
        intake_key_header(intake, value, value_size);
        free(value);
    }
    free(name);
}

/* Offers the headers and returns where the value begins; NULL: there is none. */
static const uint8_t *offer_headers(struct intake *intake, const uint8_t *at,
                                    const uint8_t *end)
{
    const uint8_t *feed;
    while (at < end && (feed = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (feed == at)
            return at + 1;
        offer_header(intake, at, (size_t)(feed - at));
        at = feed + 1;
    }
    return NULL;
}

/* What the short way takes, jansson takes for the same. */
static void check_both_ways(const char *value, size_t size)
{
    struct command_json scanned, read;
    if (!command_scan(&scanned, value, size))
        return;
    REQUIRE(command_json_read(&read, value, size) == NULL);
    REQUIRE(scanned.present == read.present && read.unknown == NULL);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct json_value *left = &scanned.values[i], *right = &read.values[i];
        REQUIRE(left->kind == right->kind && left->size == right->size);
        REQUIRE(left->size == 0 || memcmp(left->text, right->text, left->size) == 0);
    }
    command_json_close(&read);
}

static void read_record(struct record *record, const uint8_t *bytes, size_t size)
{
    memset(record, 0xa5, sizeof(*record)); /* nothing may be left as it was */
    record->partition = 0;
    record->offset = 7;
    record->poisoned = false;
    record->timestamp_ms = 1700000000000;
    intake_init(&record->intake);
    const uint8_t *value = offer_headers(&record->intake, bytes, bytes + size);
    size_t value_size = value != NULL ? (size_t)(bytes + size - value) : 0;
    uint8_t *copy = value != NULL ? copy_bytes(value, value_size) : NULL;
    if (copy != NULL)
        check_both_ways((const char *)copy, value_size);
    decode_value(record, digest, copy, value_size);
    if (copy != NULL)
        memset(copy, '?', value_size); /* nothing of it is borrowed */
    free(copy);
}

static void check_intake(const struct intake *intake)
{
    size_t size = strnlen(intake->detail, sizeof(intake->detail));
    const struct command *command = &intake->command;
    REQUIRE(size <= INTAKE_DETAIL_MAX);
    REQUIRE((size > 10) == (intake->code != CODE_NONE));
    for (size_t i = 0; i < size; i++)
        REQUIRE(intake->detail[i] >= 0x20 && intake->detail[i] <= 0x7e);
    REQUIRE(intake->code == CODE_NONE || code_outcome(intake->code) == OUTCOME_MALFORMED);
    REQUIRE(intake->has_key == command_is_name(command->key, strlen(command->key), 255));
    REQUIRE(intake->has_client ==
            command_is_name(command->client, strlen(command->client), 64));
    if (intake->code != CODE_NONE)
        return;
    REQUIRE(intake->has_key && intake->has_client && command->currency != NULL);
    REQUIRE(command->operation == OPERATION_OPEN_ACCOUNT ||
            (command->amount_minor > 0 && command->amount_minor <= MONEY_MAX_MINOR));
    REQUIRE(command->minimum_balance_minor <= 0 &&
            command->minimum_balance_minor >= -MONEY_MAX_MINOR);
}

/* --- the decision ------------------------------------------------------------------- */

/* FNV-1a: the same facts for the same input, and others for one that differs a little. */
static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

/* The next of `count` choices. */
static unsigned choose(uint64_t *hash, unsigned count)
{
    unsigned choice = (unsigned)(*hash % count);
    *hash = *hash / count + (*hash << 47);
    return choice;
}

static void add_account(const struct command *command, const char *name, uint64_t *hash)
{
    const int64_t balances[] = {command->amount_minor,
                                command->amount_minor - 1,
                                0,
                                -MONEY_MAX_MINOR,
                                INT64_MAX,
                                INT64_MAX - command->amount_minor,
                                INT64_MIN,
                                INT64_MIN + command->amount_minor};
    size_t slot = posting->account_count++;
    struct account *account = &posting->accounts[slot];
    *account = (struct account){.account_id = 1 + (int64_t)slot,
                                .balance_minor = balances[choose(hash, 8)],
                                .has_minimum = choose(hash, 4) != 0,
                                .currency = choose(hash, 8) != 0 ? command->currency
                                                                 : &currencies[0]};
    memcpy(account->name, name, strlen(name) + 1);
    if (account->has_minimum && account->balance_minor < 0)
        account->minimum_balance_minor = account->balance_minor;
}

/* A payment between two accounts of this currency, of which half may be refunded. */
static void add_payment(const struct command *command, uint64_t *hash)
{
    add_account(command, "debited", hash);
    add_account(command, "credited", hash);
    struct payment *payment = &posting->payments[posting->payment_count++];
    *payment = (struct payment){.payment_id = command->refunded_payment_id,
                                .debit_account_id = 1,
                                .credit_account_id = 2,
                                .amount_minor = command->amount_minor * 2,
                                .is_refund = choose(hash, 8) == 0};
    payment->refunded_minor = command->amount_minor * (1 + choose(hash, 2));
    posting->accounts[1].currency = posting->accounts[0].currency;
    if (choose(hash, 8) != 0)
        memcpy(payment->client, command->client, sizeof(payment->client));
}

static void add_facts(const struct command *command, uint64_t *hash)
{
    const char *const names[] = {command->account, command->source, command->destination};
    if (command->operation == OPERATION_REFUND && choose(hash, 8) != 0)
        add_payment(command, hash);
    for (size_t i = 0; i < 3; i++)
        if (names[i][0] != '\0' && choose(hash, 8) != 0)
            add_account(command, names[i], hash);
}

static void decide(const struct record *record, uint64_t hash)
{
    posting->records = record;
    posting->count = posting->position_count = 1;
    posting->account_count = posting->payment_count = 0;
    posting->new_account_id_count = 1;
    posting->new_account_ids[0] = 100;
    posting->positions[0] = (struct position){.next_offset = record->offset + 1};
    posting->inbox[0] =
        (struct kept){.found = choose(&hash, 16) == 0, .outcome = OUTCOME_APPLIED};
    posting->letters[0] = (struct kept){.found = false};
    if (choose(&hash, 2) != 0)
        memcpy(posting->inbox[0].fingerprint, record->fingerprint, DIGEST_SIZE);
    if (record->intake.code == CODE_NONE)
        add_facts(&record->intake.command, &hash);
    decide_posting(posting);
}

/* --- the answer --------------------------------------------------------------------- */

/* CONTRACT §3, in its order. */
static const char *const names[] = {
    "idempotency_key", "operation",  "client",          "outcome", "code",
    "detail",          "payment_id", "account",         "source",  "destination",
    "amount",          "currency",   "minimum_balance", "balance", "refunded_payment_id",
    "reference"};
enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

struct answer {
    const struct record *record;
    const struct decision *decision;
    json_t *read;
};

static const char *text_of(const struct answer *answer, const char *name)
{
    return json_string_value(json_object_get(answer->read, name));
}

static void check_text(const struct answer *answer, const char *name, const char *wanted)
{
    const char *text = text_of(answer, name);
    REQUIRE(text != NULL && strcmp(text, wanted) == 0);
}

static void check_absent(const struct answer *answer, const char *name)
{
    REQUIRE(json_object_get(answer->read, name) == NULL);
}

/* Reads the amount back without money.c: all digits make the minor units, and as many as
 * the currency has decimals stand behind the point. */
static void check_amount(const struct answer *answer, const char *name, int64_t wanted)
{
    const struct currency *currency = answer->record->intake.command.currency;
    const char *text = text_of(answer, name);
    fuzz_wide minor = 0;
    REQUIRE(text != NULL);
    const char *point = strchr(text, '.');
    size_t decimals = point != NULL ? strlen(point + 1) : 0;
    REQUIRE(decimals == currency->exponent);
    for (const char *at = text + (*text == '-'); *at != '\0'; at++) {
        REQUIRE(at == point || (*at >= '0' && *at <= '9'));
        minor = at == point ? minor : minor * 10 + (*at - '0');
    }
    REQUIRE((*text == '-' ? -minor : minor) == wanted);
}

static void check_uuid(const struct answer *answer, const char *name,
                       const struct uuid *wanted)
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_format(wanted, text);
    check_text(answer, name, text);
}

/* Valid JSON, compact, known names only, in order, all of them strings. */
static void check_shape(const struct answer *answer, const char *bytes, size_t size)
{
    size_t place = 0;
    for (void *at = json_object_iter(answer->read); at != NULL;
         at = json_object_iter_next(answer->read, at)) {
        while (place < NAME_COUNT && strcmp(names[place], json_object_iter_key(at)) != 0)
            place++;
        REQUIRE(place++ < NAME_COUNT);
        REQUIRE(json_is_string(json_object_iter_value(at)));
    }
    char *compact = json_dumps(answer->read, JSON_COMPACT);
    REQUIRE(compact != NULL && strlen(compact) == size);
    REQUIRE(memcmp(compact, bytes, size) == 0);
    free(compact);
}

static void check_heading(const struct answer *answer)
{
    const struct intake *intake = &answer->record->intake;
    const struct decision *decision = answer->decision;
    check_text(answer, "idempotency_key", intake->command.key);
    check_text(answer, "outcome", outcome_name(decision->outcome));
    if (decision->code == CODE_NONE) {
        check_absent(answer, "code");
        check_absent(answer, "detail");
    } else {
        check_text(answer, "code", code_name(decision->code));
        REQUIRE(text_of(answer, "detail") != NULL);
    }
    if (intake->command.operation != OPERATION_NONE && intake->has_client) {
        REQUIRE(decision->code != CODE_JSON_INVALID);
        check_text(answer, "operation", operation_name(intake->command.operation));
        check_text(answer, "client", intake->command.client);
    } else {
        check_absent(answer, "operation");
        check_absent(answer, "client");
    }
}

static void check_account(const struct answer *answer)
{
    const struct command *command = &answer->record->intake.command;
    check_text(answer, "account", command->account);
    check_absent(answer, "amount");
    if (command->has_minimum)
        check_amount(answer, "minimum_balance", command->minimum_balance_minor);
    else
        check_absent(answer, "minimum_balance");
}

static void check_payment(const struct answer *answer)
{
    const struct command *command = &answer->record->intake.command;
    check_amount(answer, "amount", command->amount_minor);
    check_absent(answer, "minimum_balance");
    if (command->operation == OPERATION_TRANSFER) {
        check_text(answer, "source", command->source);
        check_text(answer, "destination", command->destination);
        check_absent(answer, "refunded_payment_id");
    } else {
        check_absent(answer, "source");
        check_absent(answer, "destination");
        check_uuid(answer, "refunded_payment_id", &command->refunded_payment_id);
    }
    if (command->reference[0] != '\0')
        check_text(answer, "reference", command->reference);
    else
        check_absent(answer, "reference");
}

/* What only an applied command tells. */
static void check_effect(const struct answer *answer)
{
    bool is_applied = answer->decision->outcome == OUTCOME_APPLIED;
    if (is_applied)
        check_amount(answer, "balance", answer->decision->balance_minor);
    else
        check_absent(answer, "balance");
    if (is_applied && answer->record->intake.command.operation != OPERATION_OPEN_ACCOUNT)
        check_uuid(answer, "payment_id", &answer->record->payment_id);
    else
        check_absent(answer, "payment_id");
}

static void check_answer(const struct answer *answer)
{
    const struct command *command = &answer->record->intake.command;
    check_heading(answer);
    if (answer->decision->outcome != OUTCOME_APPLIED &&
        answer->decision->outcome != OUTCOME_REJECTED) {
        for (size_t i = 6; i < NAME_COUNT; i++) /* all that follow `detail` */
            check_absent(answer, names[i]);
        return;
    }
    check_text(answer, "currency", command->currency->code);
    if (command->operation == OPERATION_OPEN_ACCOUNT)
        check_account(answer);
    else
        check_payment(answer);
    check_effect(answer);
}

static void answer(const struct record *record, const struct decision *decision)
{
    char bytes[RESULT_MAX], again[RESULT_MAX];
    struct result result = {.intake = &record->intake,
                            .outcome = decision->outcome,
                            .code = decision->code,
                            .payment_id = &record->payment_id,
                            .balance_minor = decision->balance_minor};
    size_t size = result_write(&result, bytes);
    REQUIRE(result_write(&result, again) == size && memcmp(bytes, again, size) == 0);
    struct answer read = {.record = record,
                          .decision = decision,
                          .read = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL)};
    REQUIRE(read.read != NULL);
    check_shape(&read, bytes, size);
    check_answer(&read);
    json_decref(read.read);
}

/* --- the same command in other words ------------------------------------------------ */

/* The record with this value instead of its own must be the same in all that counts. */
static void check_same(const struct record *record, bool with_header, const char *value,
                       size_t size)
{
    struct intake again;
    const struct intake *intake = &record->intake;
    uint8_t left[COMMAND_CANONICAL_MAX], right[COMMAND_CANONICAL_MAX];
    intake_init(&again);
    if (with_header)
        intake_key_header(&again, intake->command.key, strlen(intake->command.key));
    intake_value(&again, value, size);
    REQUIRE(again.code == intake->code);
    REQUIRE(again.has_key == intake->has_key && again.has_client == intake->has_client);
    REQUIRE(again.command.operation == intake->command.operation);
    REQUIRE(strcmp(again.command.key, intake->command.key) == 0);
    if (intake->code != CODE_NONE)
        return;
    size_t left_size = command_canonical(&intake->command, left);
    size_t right_size = command_canonical(&again.command, right);
    REQUIRE(left_size == right_size && memcmp(left, right, left_size) == 0);
}

/* Every ASCII character as an escape. */
static void put_escaped(struct text_buffer *json, const char *text)
{
    text_put_string(json, "\"");
    for (; *text != '\0'; text++) {
        char escape[7];
        snprintf(escape, sizeof(escape), "\\u%04X", (unsigned)*text & 0x7f);
        if (*text > 0)
            text_put_string(json, escape);
        else
            text_put(json, text, 1);
    }
    text_put_string(json, "\"");
}

static void put_field(struct text_buffer *json, const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    text_put_string(json, json->size == 0 ? " {\n\t" : " ,\r\n");
    put_escaped(json, name);
    text_put_string(json, " : ");
    put_escaped(json, text);
}

static void put_money(struct text_buffer *json, const struct command *command)
{
    char text[MONEY_TEXT_MAX];
    bool is_account = command->operation == OPERATION_OPEN_ACCOUNT;
    if (is_account && !command->has_minimum) {
        text_put_string(json, ",\"minimum_balance\": null");
        return;
    }
    money_format(is_account ? command->minimum_balance_minor : command->amount_minor,
                 command->currency->exponent, text);
    put_field(json, is_account ? "minimum_balance" : "amount", text);
}

/* The fields in the contrary order, escaped, with white space, and the key among them. */
static void check_rewritten(const struct record *record)
{
    const struct command *command = &record->intake.command;
    char bytes[8192], uuid[UUID_TEXT_SIZE + 1] = "";
    struct text_buffer json;
    text_buffer_init(&json, bytes, sizeof(bytes));
    if (command->operation == OPERATION_REFUND)
        uuid_format(&command->refunded_payment_id, uuid);
    put_field(&json, "idempotency_key", command->key);
    put_field(&json, "reference", command->reference);
    put_field(&json, "currency", command->currency->code);
    put_money(&json, command);
    put_field(&json, "payment_id", uuid);
    put_field(&json, "destination", command->destination);
    put_field(&json, "source", command->source);
    put_field(&json, "account", command->account);
    put_field(&json, "client", command->client);
    put_field(&json, "operation", operation_name(command->operation));
    text_put_string(&json, " }\n");
    REQUIRE(!json.overflow);
    check_same(record, false, json.bytes, json.size);
}

/* Whatever the object is: jansson's own writing of it, sorted and indented, is judged the
 * same, also when it is malformed. */
static void check_dumped(const struct record *record, const uint8_t *bytes, size_t size)
{
    struct intake headers;
    intake_init(&headers);
    const uint8_t *value = offer_headers(&headers, bytes, bytes + size);
    json_t *read =
        json_loadb((const char *)value, (size_t)(bytes + size - value), 0, NULL);
    char *dumped = json_dumps(read, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    REQUIRE(dumped != NULL);
    if (strlen(dumped) <= COMMAND_VALUE_MAX)
        check_same(record, headers.header_seen, dumped, strlen(dumped));
    free(dumped);
    json_decref(read);
}

/* Codes of the key may speak of headers that are not written again. */
static bool is_object(enum code code)
{
    return code == CODE_NONE || (code >= CODE_FIELD_UNKNOWN && code <= CODE_SAME_ACCOUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct record record;
    begin();
    read_record(&record, bytes, size);
    check_intake(&record.intake);
    decide(&record, hash_of(bytes, size));
    const struct decision *decision = &posting->decisions[0];
    if (record.intake.has_key && decision->kind == DECISION_NEW)
        answer(&record, decision);
    if (record.intake.code == CODE_NONE)
        check_rewritten(&record);
    if (is_object(record.intake.code))
        check_dumped(&record, bytes, size);
    return 0;
}
