/* exit_code.h: what both programs tell their caller (CONTRACT §6). */
#ifndef BASE_EXIT_CODE_H
#define BASE_EXIT_CODE_H

enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_FINDINGS = 1,     /* done, with findings or failures */
    EXIT_CODE_USAGE = 2,        /* wrong usage or configuration */
    EXIT_CODE_HALTED = 3,       /* an operator must decide */
    EXIT_CODE_UNREACHABLE = 69, /* Kafka or Postgres; not for `consume`, which waits */
    EXIT_CODE_INTERNAL = 70     /* the process stopped itself, a restart is safe */
};

#endif
