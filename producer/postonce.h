/* postonce.h: libpostonce, sends payment commands for `postonce consume` to Kafka.
 *
 * A command goes out with an idempotency key, through an idempotent Kafka producer, and
 * its delivery is reported by a callback. The library checks that a command is one JSON
 * object and that its key is valid; whether the command itself is right is for the
 * consumer alone to judge. Never retries a command that failed: sending it again with the
 * SAME key is always safe, with another key it is another payment.
 *
 *     #include <postonce.h>
 *     #include <stdio.h>
 *
 *     static void on_delivery(const struct postonce_delivery *delivery, void *context)
 *     {
 *         (void)context;
 *         if (delivery->error != POSTONCE_OK)
 *             fprintf(stderr, "%s: %s\n", delivery->key, delivery->reason);
 *     }
 *
 *     int main(void)
 *     {
 *         struct postonce_setting settings[] = {{"bootstrap.servers", "localhost:9092"}};
 *         struct postonce_options options = {
 *             .settings = settings, .setting_count = 1, .on_delivery = on_delivery};
 *         struct postonce_fault fault;
 *         struct postonce_producer *producer = postonce_open(&options, &fault);
 *         if (producer == NULL) {
 *             fprintf(stderr, "%s\n", fault.sentence);
 *             return 1;
 *         }
 *         struct postonce_command command = {.operation = POSTONCE_TRANSFER,
 *                                            .client = "merchant-42",
 *                                            .source = "acct-1",
 *                                            .destination = "acct-2",
 *                                            .amount = "100.00",
 *                                            .currency = "USD",
 *                                            .reference = "order 456"};
 *         struct postonce_input input = {.command = &command}; // .key NULL: make one
 *         char key[POSTONCE_KEY_SIZE];
 *         if (postonce_send(producer, &input, key, &fault) == POSTONCE_OK)
 *             printf("%s\n", key); // keep it: it names this payment for ever
 *         else
 *             fprintf(stderr, "%s\n", fault.sentence);
 *         return postonce_close(producer, 10000) == POSTONCE_OK ? 0 : 1;
 *     }
 *
 *     cc pay.c $(pkg-config --cflags --libs postonce)
 *
 * Threads: any number of threads may call postonce_send, postonce_send_message,
 * postonce_poll and postonce_flush on one producer at once. Callbacks run inside
 * postonce_poll, postonce_flush and postonce_close, on the thread that called, and never
 * inside a send. A producer does not survive a fork(): open it in the child. */
#ifndef POSTONCE_H
#define POSTONCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define POSTONCE_API __attribute__((visibility("default")))
#define POSTONCE_MUST_USE __attribute__((warn_unused_result))
#else
#define POSTONCE_API
#define POSTONCE_MUST_USE
#endif

enum {
    POSTONCE_KEY_MAX = 255,                   /* bytes of an idempotency key */
    POSTONCE_KEY_SIZE = POSTONCE_KEY_MAX + 1, /* and a NUL */
    POSTONCE_UUID7_SIZE = 37,                 /* 36 characters and a NUL */
    POSTONCE_SENTENCE_SIZE = 512
};

/* X(suffix, what it means) */
#define POSTONCE_ERRORS(X)                                                               \
    X(OK, "done")                                                                        \
    X(SETTING_INVALID, "a setting is not accepted")                                      \
    X(COMMAND_INVALID, "the command struct cannot be written as JSON")                   \
    X(JSON_INVALID, "the text is not one JSON object")                                   \
    X(KEY_MISSING, "the command has no idempotency key")                                 \
    X(KEY_INVALID, "the idempotency key must be 1 to 255 bytes, each from 0x21 to 0x7E") \
    X(KEY_AMBIGUOUS, "the JSON holds another idempotency key than the one given")        \
    X(TOO_LARGE, "the command is larger than a Kafka message may be")                    \
    X(QUEUE_FULL, "too many commands wait for delivery: poll, then send it again")       \
    X(UNREACHABLE, "Kafka cannot be reached")                                            \
    X(REFUSED, "Kafka refuses the credentials, or the right to this topic")              \
    X(TOPIC_MISSING, "the topic does not exist")                                         \
    X(NOT_DELIVERED, "the command was not delivered")                                    \
    X(UNCONFIRMED, "the delivery was not confirmed: the broker may or may not have it")  \
    X(TIMED_OUT, "the deadline passed before every delivery was reported")               \
    X(FATAL, "the producer is no longer usable: close it and open another")              \
    X(NO_RANDOM, "the system gives no random bytes")                                     \
    X(NO_MEMORY, "out of memory")

#define POSTONCE_ERROR_VALUE(suffix, meaning) POSTONCE_##suffix,
enum postonce_error { POSTONCE_ERRORS(POSTONCE_ERROR_VALUE) };
#undef POSTONCE_ERROR_VALUE

/* "QUEUE_FULL", and the sentence of the list above; static, for any value never NULL. */
POSTONCE_API const char *postonce_error_name(enum postonce_error error);
POSTONCE_API const char *postonce_error_meaning(enum postonce_error error);

/* Why a call failed: filled in whenever it returns no success. Holds no payload. */
struct postonce_fault {
    enum postonce_error error;
    char sentence[POSTONCE_SENTENCE_SIZE]; /* one sentence for a person */
    const char *setting; /* SETTING_INVALID: its name, as lent; else NULL */
};

/* ---- Commands (CONTRACT §1) ----------------------------------------------------- */

enum postonce_operation { POSTONCE_OPEN_ACCOUNT = 1, POSTONCE_TRANSFER, POSTONCE_REFUND };

/* Text is UTF-8 and NUL-terminated; a field that is NULL is left out of the message.
 * Amounts are decimal strings ("100.00"). All fields are borrowed for the length of the
 * call. */
struct postonce_command {
    enum postonce_operation operation;
    const char *client;
    const char *account;         /* open_account */
    const char *source;          /* transfer */
    const char *destination;     /* transfer */
    const char *payment_id;      /* refund: of the payment, from its result */
    const char *amount;          /* transfer, refund */
    const char *currency;        /* ISO 4217 */
    const char *minimum_balance; /* open_account: "0" or below; NULL: 0 */
    bool no_minimum_balance; /* open_account: no limit at all (a settlement account) */
    const char *reference;   /* transfer, refund */
};

/* One command to send: a struct, or JSON text (which is sent byte for byte as it is). */
struct postonce_input {
    const struct postonce_command *command; /* NULL: json is used */
    const char *json;
    size_t json_size;
    /* NULL: the `idempotency_key` inside the JSON, or, if there is none, a new UUIDv7. To
     * survive a crash, take a key from postonce_uuid7 and store it before sending. */
    const char *key;
    bool require_key; /* a missing key is KEY_MISSING; no UUIDv7 is made */
    void *user;       /* postonce_send hands it to on_delivery */
};

/* ---- Producer ------------------------------------------------------------------- */

/* A property of librdkafka, such as {"bootstrap.servers", "localhost:9092"}. */
struct postonce_setting {
    const char *name;
    const char *value;
};

/* What became of one command. Everything is borrowed for the length of the callback. */
struct postonce_delivery {
    enum postonce_error error; /* OK, NOT_DELIVERED or UNCONFIRMED */
    const char *key;
    const char *reason; /* one sentence; "" if delivered */
    int32_t partition;  /* -1: none was chosen */
    int64_t offset; /* of the command's record; -1: not known, also if delivered: after a
                     * lost answer the broker says only that it has the record already */
    void *user;
};

struct postonce_options {
    const char *topic; /* NULL: "payment-commands" */
    /* Override the library's own choice (small linger, bounded queue), except for what
     * the guarantee depends on: setting that is an error. */
    const struct postonce_setting *settings;
    size_t setting_count;
    /* Called exactly once for each command that a send took. NULL: nobody cares. */
    void (*on_delivery)(const struct postonce_delivery *delivery, void *context);
    /* What librdkafka has to say, level as in syslog(3); on threads of librdkafka, so it
     * must be thread-safe and call nothing of this library. NULL: silence. */
    void (*on_log)(int level, const char *facility, const char *text, void *context);
    void *context; /* of both callbacks */
};

struct postonce_producer;
struct postonce_message;

/* Opens a producer; does not wait for Kafka. NULL: see fault (which may be NULL). Options
 * and settings are copied. */
POSTONCE_API POSTONCE_MUST_USE struct postonce_producer *
postonce_open(const struct postonce_options *options, struct postonce_fault *fault);

/* Asks Kafka for the topic, for at most timeout_ms: OK, UNREACHABLE, REFUSED,
 * TOPIC_MISSING, FATAL. A good question at the start of a program; a send needs no such
 * question. */
POSTONCE_API POSTONCE_MUST_USE enum postonce_error
postonce_check(struct postonce_producer *producer, int timeout_ms,
               struct postonce_fault *fault);

/* Takes one command, copying everything, and returns at once. OK: on_delivery will be
 * called for it. Anything else: it was not taken, and on_delivery will not be called.
 * `key` (may be NULL) receives the key it goes out with; on QUEUE_FULL too, so that the
 * next try can name it. `fault` may be NULL. */
POSTONCE_API POSTONCE_MUST_USE enum postonce_error
postonce_send(struct postonce_producer *producer, const struct postonce_input *input,
              char key[POSTONCE_KEY_SIZE], struct postonce_fault *fault);

/* The same in two steps, for programs that must know the key before the command leaves,
 * or that try again after QUEUE_FULL: the message is checked, and its key settled, once.
 * Copies the input; `user` is ignored. NULL: see fault (which may be NULL). */
POSTONCE_API POSTONCE_MUST_USE struct postonce_message *
postonce_message_new(const struct postonce_input *input, struct postonce_fault *fault);
/* Lives as long as the message. */
POSTONCE_API const char *postonce_message_key(const struct postonce_message *message);
POSTONCE_API void
postonce_message_free(struct postonce_message *message); /* NULL is fine */
/* Copies the message, which stays the caller's. Results as postonce_send. */
POSTONCE_API POSTONCE_MUST_USE enum postonce_error
postonce_send_message(struct postonce_producer *producer,
                      const struct postonce_message *message, void *user,
                      struct postonce_fault *fault);

/* Runs the callbacks that are due; waits up to timeout_ms for the first one. Call it
 * often (every few hundred sends, and while idle): without it deliveries stay unreported
 * and the queue fills up. */
POSTONCE_API void postonce_poll(struct postonce_producer *producer, int timeout_ms);
/* Waits until every command taken so far is reported: OK, or TIMED_OUT. */
POSTONCE_API enum postonce_error postonce_flush(struct postonce_producer *producer,
                                                int timeout_ms);
/* Flushes for at most timeout_ms, reports what is left as NOT_DELIVERED or UNCONFIRMED,
 * and frees the producer. No other call may be under way. OK: nothing was left; else
 * TIMED_OUT. NULL is fine. */
POSTONCE_API enum postonce_error postonce_close(struct postonce_producer *producer,
                                                int timeout_ms);

/* ---- Keys ----------------------------------------------------------------------- */

/* A new UUID version 7 (RFC 9562), lower case: milliseconds, a counter, 62 random bits.
 * Each is greater than all that this process has made before, whatever the clock does;
 * any thread. OK or NO_RANDOM. */
POSTONCE_API POSTONCE_MUST_USE enum postonce_error
postonce_uuid7(char text[POSTONCE_UUID7_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
