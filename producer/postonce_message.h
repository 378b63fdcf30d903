/* postonce_message.h: a checked command, ready to be sent: its value, its idempotency key
 * and its record key. One block of memory that owns all of it. Internal. */
#ifndef PRODUCER_POSTONCE_MESSAGE_H
#define PRODUCER_POSTONCE_MESSAGE_H

#include "producer/postonce.h"

struct postonce_message {
    char *value; /* the command, as it goes out */
    size_t value_size;
    char *record_key;       /* not NUL-terminated */
    size_t record_key_size; /* 0: no record key */
    char key[POSTONCE_KEY_SIZE];
    size_t key_size;
    char record_key_bytes[POSTONCE_KEY_MAX]; /* reached through record_key */
};

#endif
