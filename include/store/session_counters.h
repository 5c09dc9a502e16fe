/* SPDX-License-Identifier: MIT */
/*
 * session_counters.h - what the collector counts about its own work, since its store was made.
 */
#ifndef STORE_SESSION_COUNTERS_H
#define STORE_SESSION_COUNTERS_H

/* Identifier, name, help. */
// clang-format off
#define SESSION_COUNTERS(X) \
    X(RECEIVED,         "received",         "datagrams taken from the sockets") \
    X(STORED,           "stored",           "outcomes counted") \
    X(REPAIRED,         "repaired",         "stored outcomes in whose texts invalid UTF-8 was replaced") \
    X(LATE,             "late",             "outcomes for a day whose report was built already") \
    X(MALFORMED,        "malformed",        "datagrams that could not be understood") \
    X(REFUSED,          "refused",          "datagrams from a user id that is not in allow_uid") \
    X(NO_RESULT,       "no_outcome",       "lines of Exim that tell no outcome: no TLS, and none was asked for") \
    X(REPEATED,         "repeated",         "outcomes that a log reader told again after it was killed, not counted") \
    X(DROPPED,          "dropped",          "datagrams dropped because the ring was full") \
    X(CORRUPT,          "corrupt",          "damaged records skipped in the ring") \
    X(UNKNOWN_POLICIES, "unknown_policies", "policies of an unknown type, left out of stored outcomes") \
    X(FOLDED_POLICIES,  "folded_policies",  "policies beyond the cap of a domain and day") \
    X(FOLDED_DETAILS,   "folded_details",   "failure details beyond the cap of a domain and day") \
    X(OVER_BUDGET,      "over_budget",      "outcomes of subdomains beyond max_subdomains, under no report") \
    X(STORE_RETRIES,    "store_retries",    "batches that had to be stored again after an error") \
    X(RING_HIGH_WATER,  "ring_high_water",  "most bytes that ever waited in the ring")
// clang-format on

enum session_counter {
#define SESSION_COUNTER_ID(id, name, help) COUNTER_##id,
    SESSION_COUNTERS(SESSION_COUNTER_ID)
#undef SESSION_COUNTER_ID
    COUNTER_COUNT,
};

const char *session_counter_name(enum session_counter counter);
const char *session_counter_help(enum session_counter counter);

#endif
