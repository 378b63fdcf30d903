/* decide_money.h: what a valid, new command does to the books, or why it is refused.
 * Pure. */
#ifndef CONSUMER_CORE_DECIDE_MONEY_H
#define CONSUMER_CORE_DECIDE_MONEY_H

#include "consumer/core/posting.h"

/* Empties the indexes over accounts and payments and fills them from the facts. */
void money_begin(struct posting *posting);
/* Decides one record: CODE_NONE with the effects done and noted in the decision, or the
 * first refusal in order of precedence (CONTRACT §2) and nothing done. */
enum code money_decide(struct posting *posting, const struct record *record,
                       struct decision *decision);

#endif
