/* probe.c: somebody else's program, built against nothing but the installed library. */
#include <postonce.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "probe: %s\n", what);
    return 1;
}

static int check_message(void)
{
    static const struct postonce_command command = {.operation = POSTONCE_REFUND,
                                                    .client = "merchant-42",
                                                    .payment_id = "none",
                                                    .amount = "1.00",
                                                    .currency = "USD"};
    struct postonce_input input = {.command = &command, .key = "key-1"};
    struct postonce_fault fault;
    struct postonce_message *message = postonce_message_new(&input, &fault);
    if (message == NULL)
        return fail(fault.sentence);
    int failed = strcmp(postonce_message_key(message), "key-1") != 0;
    postonce_message_free(message);
    return failed ? fail("the message has another key") : 0;
}

static int check_producer(void)
{
    struct postonce_setting settings[] = {{"bootstrap.servers", "127.0.0.1:1"}};
    struct postonce_options options = {.settings = settings, .setting_count = 1};
    struct postonce_fault fault;
    struct postonce_producer *producer = postonce_open(&options, &fault);
    if (producer == NULL)
        return fail(fault.sentence);
    return postonce_close(producer, 100) == POSTONCE_OK ? 0 : fail("close timed out");
}

int main(void)
{
    char key[POSTONCE_UUID7_SIZE];
    if (postonce_uuid7(key) != POSTONCE_OK || strlen(key) != 36 || key[14] != '7')
        return fail("postonce_uuid7");
    return check_message() || check_producer();
}
