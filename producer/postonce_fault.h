/* postonce_fault.h: how the library fills in `struct postonce_fault`. Internal. */
#ifndef PRODUCER_POSTONCE_FAULT_H
#define PRODUCER_POSTONCE_FAULT_H

#include "producer/postonce.h"

/* Writes the error and its sentence (printf; NULL: the meaning of the error), cut to fit,
 * and returns the error, so that a function can end with it. `fault` may be NULL. */
__attribute__((format(printf, 3, 4))) enum postonce_error
postonce_fault_set(struct postonce_fault *fault, enum postonce_error error,
                   const char *format, ...);
/* The same for SETTING_INVALID, which also names the setting (borrowed). */
enum postonce_error postonce_fault_setting(struct postonce_fault *fault,
                                           const char *setting, const char *reason);

#endif
