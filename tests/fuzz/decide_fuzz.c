/* decide_fuzz.c: the decision with random facts and random runs of records, held against
 * the naive books of ledger.c.
 *
 * The input is a string of choices, read byte by byte; when it ends, every choice is the
 * first one. From it come the books (accounts at the edges of int64, payments, kept rows
 * and letters, positions) and a run of commands with few names and keys, so that they
 * meet. Then: each decision is the one of the naive books; the money is conserved; the
 * run cut in two gives the same as in one piece; delivered again it changes nothing. */
#include <string.h>

#include "consumer/core/decide.h"
#include "consumer/posting_memory.h"
#include "schema/digest.h"
#include "schema/money.h"
#include "tests/fuzz/ledger.h"

enum { RUN_MAX = 16, KEPT_MAX = 4, BASE_OFFSET = 10, NAME_COUNT = 7, KEY_COUNT = 12 };

static struct digest *digest;
static struct posting *posting;
static struct record run[RUN_MAX], part[RUN_MAX];
static struct record kept[KEPT_MAX];

/* --- choices ------------------------------------------------------------------------ */

struct choices {
    const uint8_t *at, *end;
};

static unsigned choose(struct choices *choices, unsigned count)
{
    return choices->at < choices->end ? *choices->at++ % count : 0;
}

static bool choose_rarely(struct choices *choices)
{
    return choose(choices, 16) == 15;
}

static int64_t choose_any(struct choices *choices)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | choose(choices, 256);
    return (int64_t)value;
}

static const struct currency *choose_currency(struct choices *choices)
{
    static const char *const codes[] = {"USD", "USD", "USD", "JPY"};
    return currency_find(codes[choose(choices, 4)], CURRENCY_CODE_SIZE);
}

static int64_t choose_amount(struct choices *choices)
{
    static const int64_t amounts[] = {
        1, 2, 5, 100, 101, MONEY_MAX_MINOR, MONEY_MAX_MINOR - 1};
    unsigned choice = choose(choices, 8);
    if (choice < 7)
        return amounts[choice];
    int64_t any = choose_any(choices) % MONEY_MAX_MINOR;
    return any < 0 ? -any : any + 1;
}

static int64_t choose_balance(struct choices *choices)
{
    static const int64_t balances[] = {0,
                                       1,
                                       5,
                                       100,
                                       INT64_MAX,
                                       INT64_MAX - 1,
                                       INT64_MAX - 100,
                                       INT64_MIN,
                                       INT64_MIN + 1,
                                       INT64_MIN + 100};
    unsigned choice = choose(choices, 11);
    return choice < 10 ? balances[choice] : choose_any(choices);
}

static int64_t choose_minimum(struct choices *choices)
{
    if (choose_rarely(choices)) /* no command sets it, but a database can hold it */
        return INT64_MIN + choose_amount(choices);
    return choose(choices, 2) == 0 ? 0 : -choose_amount(choices);
}

static void choose_name(struct choices *choices, char *name)
{
    memcpy(name, (char[]){(char)('a' + choose(choices, NAME_COUNT)), '\0'}, 2);
}

/* --- the books before --------------------------------------------------------------- */

static void begin_account(struct ledger *ledger, struct choices *choices)
{
    struct ledger_account account = {.currency = choose_currency(choices),
                                     .account_id = ledger->next_account_id,
                                     .has_minimum = choose(choices, 4) != 3,
                                     .version = choose(choices, 3),
                                     .balance_minor = choose_balance(choices)};
    choose_name(choices, account.name);
    if (account.has_minimum)
        account.minimum_minor = choose_minimum(choices);
    if (account.has_minimum && account.balance_minor < account.minimum_minor)
        account.balance_minor = account.minimum_minor;
    if (ledger_account(ledger, account.name) != NULL)
        return;
    ledger->accounts[ledger->account_count++] = account;
    ledger->next_account_id++;
}

static void begin_payment(struct ledger *ledger, struct choices *choices)
{
    struct ledger_payment payment = {.is_refund = choose_rarely(choices)};
    payment.payment_id.bytes[0] = (uint8_t)(200 + ledger->payment_count);
    payment.client[0] = (char)('x' + choose(choices, 2));
    payment.amount_minor = choose_amount(choices);
    if (choose(choices, 2) != 0)
        payment.refunded_minor = choose_any(choices) & INT64_MAX;
    payment.refunded_minor %= payment.amount_minor + 1;
    if (ledger->account_count < 2)
        return;
    payment.debited = choose(choices, (unsigned)ledger->account_count);
    payment.credited = choose(choices, (unsigned)ledger->account_count);
    if (payment.debited != payment.credited &&
        ledger->accounts[payment.debited].currency ==
            ledger->accounts[payment.credited].currency)
        ledger->payments[ledger->payment_count++] = payment;
}

/* --- commands ----------------------------------------------------------------------- */

static void choose_key(struct choices *choices, struct command *command)
{
    command->key[0] = 'k';
    command->key[1] = (char)('A' + choose(choices, KEY_COUNT));
    command->key[2] = '\0';
}

/* Of a payment of before, of one that the run makes, or of none. */
static void choose_payment_id(struct choices *choices, struct uuid *payment_id)
{
    unsigned choice = choose(choices, 3 + KEY_COUNT);
    payment_id->bytes[0] = (uint8_t)(choice < 3 ? 200 + choice : 'A' + choice - 3);
}

static void choose_transfer(struct choices *choices, struct command *command)
{
    choose_name(choices, command->source);
    choose_name(choices, command->destination);
    if (strcmp(command->source, command->destination) == 0)
        command->destination[0] = (char)(command->destination[0] ^ 0x20);
}

static void choose_command(struct choices *choices, struct command *command)
{
    static const enum operation operations[] = {
        OPERATION_TRANSFER, OPERATION_REFUND, OPERATION_OPEN_ACCOUNT, OPERATION_TRANSFER};
    command->operation = operations[choose(choices, 4)];
    choose_key(choices, command);
    command->client[0] = (char)('x' + choose(choices, 2));
    command->client[1] = '\0';
    command->currency = choose_currency(choices);
    if (command->operation == OPERATION_OPEN_ACCOUNT) {
        choose_name(choices, command->account);
        command->has_minimum = choose(choices, 4) != 3;
        command->minimum_balance_minor =
            command->has_minimum ? choose_minimum(choices) : 0;
        return;
    }
    command->amount_minor = choose_amount(choices);
    if (command->operation == OPERATION_TRANSFER)
        choose_transfer(choices, command);
    else
        choose_payment_id(choices, &command->refunded_payment_id);
    command->reference[0] = choose_rarely(choices) ? 'r' : '\0';
    command->reference[1] = '\0';
}

/* Another delivery of an earlier command, or a new one with its key. */
static void copy_earlier(struct choices *choices, struct command *command, size_t count)
{
    *command = run[choose(choices, (unsigned)count)].intake.command;
    if (command->key[0] == '\0')
        choose_key(choices, command);
    if (choose_rarely(choices))
        command->client[0] = (char)('x' + choose(choices, 2));
}

/* Below next_offset the product asks for the key of a malformed record only in the
 * database, not in the run, and halts: there the answer would hang on where a run ends.
 * It takes a damaged database to get there, and a halt is never wrong then, so such a
 * record has no key here. */
static void refuse(struct choices *choices, const struct ledger *ledger,
                   struct record *record)
{
    struct intake *intake = &record->intake;
    unsigned choice = choose(choices, CODE_SAME_ACCOUNT - CODE_KEY_MISSING + 1);
    bool is_below = record->offset < ledger->next_offset[record->partition];
    bool is_kept = ledger_row(ledger, intake->command.key) != NULL;
    intake->code = (enum code)(CODE_KEY_MISSING + choice);
    if (is_below && !is_kept)
        intake->code = CODE_KEY_MISSING;
    intake->has_key = intake->code > CODE_KEY_AMBIGUOUS;
    if (!intake->has_key)
        intake->command.key[0] = '\0';
}

static void choose_record(struct choices *choices, const struct ledger *ledger,
                          size_t index, int64_t *offsets)
{
    struct record *record = &run[index];
    struct command *command = &record->intake.command;
    unsigned kind = choose(choices, 16);
    record->partition = (int32_t)choose(choices, LEDGER_PARTITIONS);
    record->offset = offsets[record->partition];
    offsets[record->partition] += 1 + choose_rarely(choices);
    record->poisoned = choose_rarely(choices);
    intake_init(&record->intake);
    record->intake.has_key = record->intake.has_client = true;
    if (kind < 4 && index > 0)
        copy_earlier(choices, command, index);
    else
        choose_command(choices, command);
    digest_fingerprint(digest, command, record->fingerprint);
    record->payment_id = (struct uuid){.bytes = {(uint8_t)command->key[1]}};
    if (kind == 15)
        refuse(choices, ledger, record);
}

static size_t choose_run(struct choices *choices, const struct ledger *ledger)
{
    int64_t offsets[LEDGER_PARTITIONS] = {BASE_OFFSET, BASE_OFFSET, BASE_OFFSET};
    size_t count = 1 + choose(choices, RUN_MAX);
    for (size_t i = 0; i < count; i++)
        choose_record(choices, ledger, i, offsets);
    return count;
}

/* --- what the database remembers ---------------------------------------------------- */

static void begin_row(struct ledger *ledger, struct choices *choices)
{
    struct record *record = &kept[ledger->row_count];
    struct command *command = &record->intake.command;
    intake_init(&record->intake);
    choose_command(choices, command);
    bool is_applied = choose(choices, 2) == 0;
    if (ledger_row(ledger, command->key) != NULL)
        return;
    digest_fingerprint(digest, command, record->fingerprint);
    ledger->rows[ledger->row_count++] = (struct ledger_row){
        command, record->fingerprint, is_applied ? OUTCOME_APPLIED : OUTCOME_REJECTED,
        is_applied ? CODE_NONE : CODE_INSUFFICIENT_FUNDS};
}

static void begin_letter(struct ledger *ledger, struct choices *choices)
{
    static const enum code codes[] = {CODE_KEY_REUSED, CODE_COMMAND_TOO_OLD,
                                      CODE_REFUSED_BY_DATABASE, CODE_JSON_INVALID};
    struct record at = {.partition = (int32_t)choose(choices, LEDGER_PARTITIONS),
                        .offset = BASE_OFFSET + choose(choices, 8)};
    enum code code = codes[choose(choices, 4)];
    if (ledger_letter(ledger, &at) == NULL)
        ledger->letters[ledger->letter_count++] =
            (struct ledger_letter){at.partition, at.offset, code};
}

static void begin_books(struct ledger *ledger, struct choices *choices)
{
    *ledger = (struct ledger){.next_account_id = 1};
    for (unsigned i = choose(choices, 6); i > 0; i--)
        begin_account(ledger, choices);
    for (unsigned i = choose(choices, 4); i > 0; i--)
        begin_payment(ledger, choices);
    for (unsigned i = choose(choices, KEPT_MAX + 1); i > 0; i--)
        begin_row(ledger, choices);
    for (unsigned i = choose(choices, 4); i > 0; i--)
        begin_letter(ledger, choices);
    for (int i = 0; i < LEDGER_PARTITIONS; i++)
        ledger->next_offset[i] = BASE_OFFSET + (choose_rarely(choices) ? 3 : 0);
}

/* --- looking up --------------------------------------------------------------------- */

static void load_accounts(const struct ledger *ledger)
{
    posting->account_count = ledger->account_count;
    for (size_t i = 0; i < ledger->account_count; i++) {
        const struct ledger_account *from = &ledger->accounts[i];
        struct account *to = &posting->accounts[i];
        *to = (struct account){.account_id = from->account_id,
                               .balance_minor = (int64_t)from->balance_minor,
                               .minimum_balance_minor = from->minimum_minor,
                               .version = from->version,
                               .version_before = from->version,
                               .currency = from->currency,
                               .has_minimum = from->has_minimum};
        memcpy(to->name, from->name, sizeof(to->name));
    }
}

static void load_payments(const struct ledger *ledger)
{
    posting->payment_count = ledger->payment_count;
    for (size_t i = 0; i < ledger->payment_count; i++) {
        const struct ledger_payment *from = &ledger->payments[i];
        struct payment *to = &posting->payments[i];
        *to = (struct payment){
            .payment_id = from->payment_id,
            .debit_account_id = ledger->accounts[from->debited].account_id,
            .credit_account_id = ledger->accounts[from->credited].account_id,
            .amount_minor = (int64_t)from->amount_minor,
            .refunded_minor = (int64_t)from->refunded_minor,
            .is_refund = from->is_refund};
        memcpy(to->client, from->client, sizeof(to->client));
    }
}

static void load_kept(struct ledger *ledger, size_t index)
{
    const struct record *record = &posting->records[index];
    const struct ledger_row *row = ledger_row(ledger, record->intake.command.key);
    const struct ledger_letter *letter = ledger_letter(ledger, record);
    struct kept *inbox = &posting->inbox[index];
    *inbox = (struct kept){.found = record->intake.has_key && row != NULL};
    if (inbox->found) {
        inbox->outcome = row->outcome;
        inbox->code = row->code;
        memcpy(inbox->fingerprint, row->fingerprint, sizeof(inbox->fingerprint));
    }
    posting->letters[index] = (struct kept){.found = letter != NULL};
    if (letter != NULL) {
        posting->letters[index].outcome = code_outcome(letter->code);
        posting->letters[index].code = letter->code;
    }
}

static void load_positions(const struct ledger *ledger)
{
    posting->position_count = LEDGER_PARTITIONS;
    for (int32_t i = 0; i < LEDGER_PARTITIONS; i++)
        posting->positions[i] = (struct position){
            .partition = i, .known_next_offset = ledger->next_offset[i]};
    for (size_t i = 0; i < posting->count; i++)
        posting->positions[posting->records[i].partition].next_offset =
            posting->records[i].offset + 1;
}

static void load(struct ledger *ledger, const struct record *records, size_t count)
{
    posting->records = records;
    posting->count = count;
    posting->new_account_id_count = 0;
    load_accounts(ledger);
    load_payments(ledger);
    load_positions(ledger);
    for (size_t i = 0; i < count; i++) {
        load_kept(ledger, i);
        if (records[i].intake.code == CODE_NONE &&
            records[i].intake.command.operation == OPERATION_OPEN_ACCOUNT)
            posting->new_account_ids[posting->new_account_id_count] =
                ledger->next_account_id + (int64_t)posting->new_account_id_count,
            posting->new_account_id_count++;
    }
    /* Every record must be given a decision. */
    memset(posting->decisions, 0xa5, count * sizeof(*posting->decisions));
}

/* --- keeping ------------------------------------------------------------------------ */

static void keep_accounts(struct ledger *ledger)
{
    for (size_t i = 0; i < posting->account_count; i++) {
        const struct account *from = &posting->accounts[i];
        struct ledger_account *to = &ledger->accounts[i];
        REQUIRE(from->opened == (i >= ledger->account_count));
        *to = (struct ledger_account){.currency = from->currency,
                                      .account_id = from->account_id,
                                      .version = from->version,
                                      .minimum_minor = from->minimum_balance_minor,
                                      .has_minimum = from->has_minimum,
                                      .balance_minor = from->balance_minor};
        memcpy(to->name, from->name, sizeof(to->name));
    }
    ledger->account_count = posting->account_count;
    ledger->next_account_id += (int64_t)posting->new_account_id_used;
}

/* As the store does: of each movement a row, and of a refund what it names. */
static void keep_payment(struct ledger *ledger, size_t index)
{
    const struct movement *movement = &posting->decisions[index].movement;
    const struct record *record = &posting->records[index];
    const struct command *command = &record->intake.command;
    bool is_refund = command->operation == OPERATION_REFUND;
    if (is_refund)
        ledger_payment(ledger, &command->refunded_payment_id)->refunded_minor +=
            movement->amount_minor;
    REQUIRE(ledger->payment_count < LEDGER_PAYMENTS);
    struct ledger_payment *to = &ledger->payments[ledger->payment_count++];
    *to = (struct ledger_payment){.payment_id = record->payment_id,
                                  .debited = movement->debit_slot,
                                  .credited = movement->credit_slot,
                                  .amount_minor = movement->amount_minor,
                                  .is_refund = is_refund};
    memcpy(to->client, command->client, sizeof(to->client));
}

static void keep_decision(struct ledger *ledger, size_t index)
{
    const struct decision *decision = &posting->decisions[index];
    const struct record *record = &posting->records[index];
    if (decision->kind != DECISION_NEW)
        return;
    if (decision->has_movement)
        keep_payment(ledger, index);
    if (decision->outcome == OUTCOME_APPLIED || decision->outcome == OUTCOME_REJECTED) {
        REQUIRE(ledger->row_count < LEDGER_ROWS);
        ledger->rows[ledger->row_count++] =
            (struct ledger_row){&record->intake.command, record->fingerprint,
                                decision->outcome, decision->code};
    } else {
        REQUIRE(ledger->letter_count < LEDGER_LETTERS);
        ledger->letters[ledger->letter_count++] =
            (struct ledger_letter){record->partition, record->offset, decision->code};
    }
}

static void keep(struct ledger *ledger)
{
    keep_accounts(ledger);
    for (size_t i = 0; i < posting->count; i++)
        keep_decision(ledger, i);
    for (size_t i = 0; i < LEDGER_PARTITIONS; i++) {
        const struct position *position = &posting->positions[i];
        ledger->halted[i] = position->halted;
        if (position->next_offset > ledger->next_offset[i])
            ledger->next_offset[i] = position->next_offset;
    }
}

/* --- what must hold of any run ------------------------------------------------------ */

/* Both legs of each movement, from the balances as they were looked up to those of after:
 * every balance and version that a decision names is the one of that moment. */
static void check_movements(const struct ledger *before)
{
    struct ledger_account accounts[LEDGER_ACCOUNTS] = {{.version = 0}};
    memcpy(accounts, before->accounts, before->account_count * sizeof(accounts[0]));
    for (size_t i = 0; i < posting->count; i++) {
        const struct movement *movement = &posting->decisions[i].movement;
        if (!posting->decisions[i].has_movement)
            continue;
        struct ledger_account *debited = &accounts[movement->debit_slot];
        struct ledger_account *credited = &accounts[movement->credit_slot];
        const struct account *limit = &posting->accounts[movement->debit_slot];
        debited->balance_minor -= movement->amount_minor;
        credited->balance_minor += movement->amount_minor;
        REQUIRE(movement->amount_minor > 0 && debited != credited);
        REQUIRE(movement->debit_balance_minor == debited->balance_minor);
        REQUIRE(movement->credit_balance_minor == credited->balance_minor);
        REQUIRE(movement->debit_version == ++debited->version);
        REQUIRE(movement->credit_version == ++credited->version);
        REQUIRE(!limit->has_minimum ||
                debited->balance_minor >= limit->minimum_balance_minor);
    }
    for (size_t i = 0; i < posting->account_count; i++) {
        REQUIRE(posting->accounts[i].balance_minor == accounts[i].balance_minor);
        REQUIRE(posting->accounts[i].version == accounts[i].version);
    }
}

static fuzz_wide sum_of(const struct ledger *ledger, const char *code)
{
    fuzz_wide sum = 0;
    for (size_t i = 0; i < ledger->account_count; i++)
        if (strcmp(ledger->accounts[i].currency->code, code) == 0)
            sum += ledger->accounts[i].balance_minor;
    return sum;
}

/* Looks up, decides and keeps the run. */
static void post(struct ledger *ledger, const struct record *records, size_t count)
{
    fuzz_wide dollars = sum_of(ledger, "USD"), yen = sum_of(ledger, "JPY");
    if (count == 0)
        return;
    load(ledger, records, count);
    decide_posting(posting);
    check_movements(ledger);
    keep(ledger);
    REQUIRE(sum_of(ledger, "USD") == dollars && sum_of(ledger, "JPY") == yen);
}

/* --- against the naive books -------------------------------------------------------- */

static void check_twin(size_t index)
{
    const struct decision *decision = &posting->decisions[index];
    REQUIRE(decision->twin < index);
    const struct decision *first = &posting->decisions[decision->twin];
    REQUIRE(first->kind == DECISION_NEW);
    REQUIRE(first->outcome == decision->outcome && first->code == decision->code);
    REQUIRE(strcmp(run[decision->twin].intake.command.key,
                   run[index].intake.command.key) == 0);
}

static void check_applied(size_t index)
{
    const struct decision *decision = &posting->decisions[index];
    const struct command *command = &run[index].intake.command;
    REQUIRE(decision->has_movement == (command->operation != OPERATION_OPEN_ACCOUNT));
    if (decision->has_movement) {
        REQUIRE(decision->movement.amount_minor == command->amount_minor);
        REQUIRE(decision->movement.debit_balance_minor == decision->balance_minor);
        return;
    }
    const struct account *opened = &posting->accounts[decision->opened_slot];
    REQUIRE(opened->opened && strcmp(opened->name, command->account) == 0);
}

/* A refusal has no effect and, above all a conflict, tells of nobody else's. */
static void check_refused(size_t index)
{
    const struct decision *decision = &posting->decisions[index];
    REQUIRE(!decision->has_movement && decision->balance_minor == 0);
    REQUIRE(decision->twin == 0 && decision->opened_slot == 0);
}

static void check_new(size_t index, const struct verdict *verdict)
{
    const struct decision *decision = &posting->decisions[index];
    REQUIRE(decision->kind == DECISION_NEW);
    REQUIRE(decision->balance_minor == verdict->balance_minor);
    if (verdict->outcome == OUTCOME_APPLIED)
        check_applied(index);
    else
        check_refused(index);
}

static void check_halt(size_t index)
{
    const struct position *position = &posting->positions[run[index].partition];
    REQUIRE(posting->decisions[index].kind == DECISION_HALT);
    REQUIRE(position->halted && position->halt_offset == run[index].offset);
    REQUIRE(position->next_offset == run[index].offset);
}

static void check_decision(size_t index, const struct verdict *verdict)
{
    const struct decision *decision = &posting->decisions[index];
    bool is_stored = posting->inbox[index].found;
    if (verdict->kind == VERDICT_HALT) {
        check_halt(index);
        return;
    }
    if (verdict->kind == VERDICT_SKIP) {
        REQUIRE(decision->kind == DECISION_SKIPPED);
        return;
    }
    REQUIRE(decision->outcome == verdict->outcome && decision->code == verdict->code);
    if (verdict->kind == VERDICT_NEW)
        check_new(index, verdict);
    else if (verdict->kind == VERDICT_LETTER)
        REQUIRE(decision->kind == DECISION_LETTER);
    else
        REQUIRE(decision->kind == (is_stored ? DECISION_INBOX : DECISION_TWIN));
    if (decision->kind == DECISION_TWIN)
        check_twin(index);
}

/* --- the three ways ----------------------------------------------------------------- */

static void post_whole(struct ledger *ledger, size_t count,
                       const struct verdict verdicts[RUN_MAX])
{
    post(ledger, run, count);
    for (size_t i = 0; i < count; i++)
        check_decision(i, &verdicts[i]);
}

/* A partition that has halted is not read any more. */
static void post_halves(struct ledger *ledger, size_t count, size_t cut)
{
    size_t size = 0;
    bool halted[LEDGER_PARTITIONS];
    post(ledger, run, cut);
    memcpy(halted, ledger->halted, sizeof(halted));
    for (size_t i = cut; i < count; i++)
        if (!halted[run[i].partition])
            part[size++] = run[i];
    post(ledger, part, size);
    for (size_t i = 0; i < LEDGER_PARTITIONS; i++)
        ledger->halted[i] = ledger->halted[i] || halted[i];
}

/* All that was decided is delivered again: the answers are the same, and nothing else. */
static void post_again(struct ledger *ledger, size_t count,
                       const struct verdict verdicts[RUN_MAX])
{
    struct ledger before = *ledger;
    const struct verdict *wanted[RUN_MAX];
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        wanted[size] = &verdicts[i];
        if (verdicts[i].kind < VERDICT_HALT)
            part[size++] = run[i];
    }
    post(ledger, part, size);
    for (size_t i = 0; i < size; i++) {
        const struct decision *decision = &posting->decisions[i];
        REQUIRE(decision->kind == DECISION_INBOX || decision->kind == DECISION_LETTER);
        REQUIRE(decision->outcome == wanted[i]->outcome);
        REQUIRE(decision->code == wanted[i]->code);
    }
    memcpy(ledger->halted, before.halted, sizeof(before.halted));
    ledger_require_equal(&before, ledger);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct ledger naive, whole, halves;
    struct choices choices = {bytes, bytes + size};
    struct verdict verdicts[RUN_MAX];
    if (digest == NULL) {
        digest = digest_new();
        posting = posting_new(RUN_MAX);
    }
    begin_books(&naive, &choices);
    size_t count = choose_run(&choices, &naive);
    size_t cut = choose(&choices, (unsigned)count);
    whole = halves = naive;
    for (size_t i = 0; i < count; i++)
        verdicts[i] = ledger_decide(&naive, &run[i]);
    post_whole(&whole, count, verdicts);
    ledger_require_equal(&naive, &whole);
    post_halves(&halves, count, cut);
    ledger_require_equal(&naive, &halves);
    post_again(&whole, count, verdicts);
    return 0;
}
