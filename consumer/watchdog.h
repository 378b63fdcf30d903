/* watchdog.h: a deadline around calls that ignore theirs.
 *
 * Some calls into librdkafka outlive their own time-out by minutes when a coordinator is
 * away. All state is in Postgres and Kafka, so dying is safe: a thread that stays inside
 * a guarded call for too long ends the process with _exit(70). Time is counted in ticks
 * of the watchdog itself, so a process that was stopped (SIGSTOP) does not die on waking
 * up. */
#ifndef CONSUMER_WATCHDOG_H
#define CONSUMER_WATCHDOG_H

/* Starts the one watchdog thread; calling it again does nothing. */
void watchdog_start(void);
/* Guards the calling thread until watchdog_disarm(); `what` is a literal. Not nested. */
void watchdog_arm(const char *what, int seconds);
void watchdog_disarm(void);
/* For what only frees memory when all is done: ends the process quietly with the code. */
void watchdog_arm_last(int seconds, int exit_code);

#endif
