/* pg_conninfo.h: whether a connection string can be meant as it is, judged before libpq
 * is: what that says about a string that it cannot read, or about a host that it cannot
 * find, may quote the password in it. */
#ifndef CONSUMER_PG_CONNINFO_H
#define CONSUMER_PG_CONNINFO_H

/* NULL, or a sentence, static, that says what is wrong with the setting `postgres`. */
const char *pg_conninfo_fault(const char *postgres);

#endif
