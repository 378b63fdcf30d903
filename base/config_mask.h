/* config_mask.h: what may be shown of a value that holds a secret. Only for
 * base/config*.c; config_is_secret() is in config.h. Pure. */
#ifndef BASE_CONFIG_MASK_H
#define BASE_CONFIG_MASK_H

#include <stddef.h>

enum { CONFIG_SHOWN_SIZE = 8192 };

/* Copies the value of the setting `name` as it may be shown: unchanged if it is no
 * secret, an empty one as empty. Of `postgres` only the passwords are replaced by `***`,
 * if it is certain where they are; of all others, and in any doubt, everything is. */
void config_mask(const char *name, const char *value, char shown[CONFIG_SHOWN_SIZE]);

#endif
