/* SPDX-License-Identifier: MIT */
/*
 * log_events.h - every event that the programs log: one table, read by the logger, the manual's check and the
 * tests.  Columns: identifier, name in the log, level, names of its fields (blank-separated).
 */
#ifndef APP_LOG_EVENTS_H
#define APP_LOG_EVENTS_H

#include "base/log.h"

// clang-format off
#define LOG_EVENTS(X) \
    X(COLLECTOR_STARTED,   "collector_started",   INFO,    "version sockets state_dir waiting_bytes") \
    X(COLLECTOR_STOPPED,   "collector_stopped",   INFO,    "received stored malformed waiting_bytes") \
    X(COLLECTOR_COUNTERS,  "collector_counters",  INFO,    "received stored repaired late malformed refused no_outcome repeated dropped corrupt unknown_policies folded_policies folded_details over_budget store_retries ring_high_water waiting_bytes") \
    X(DATAGRAM_MALFORMED,  "datagram_malformed",  WARNING, "bytes reason begin") \
    X(DATAGRAM_NEWER,      "datagram_newer",      WARNING, "version hint") \
    X(DATAGRAM_REFUSED,    "datagram_refused",    WARNING, "uid count mend") \
    X(OVER_BUDGET,         "over_budget",         WARNING, "domain day max_subdomains hint") \
    X(RECEIVE_FAILED,      "receive_failed",      ERROR,   "reason") \
    X(RECEIVER_PRIORITY,   "receiver_priority",   INFO,    "class note") \
    X(QUEUE_SHORT,         "queue_short",         WARNING, "max_dgram_qlen mend") \
    X(RING_FULL,           "ring_full",           ERROR,   "dropped waiting_bytes mend") \
    X(RING_DAMAGED,        "ring_damaged",        WARNING, "skipped") \
    X(RING_REMADE,         "ring_remade",         INFO,    "bytes") \
    X(RING_KEPT,           "ring_kept",           WARNING, "reason") \
    X(RING_SET_ASIDE,      "ring_set_aside",      WARNING, "reason kept") \
    X(RING_UNSAVED,        "ring_unsaved",        WARNING, "reason") \
    X(STORE_UNSAVED,       "store_unsaved",       WARNING, "reason") \
    X(STORE_FAILED,        "store_failed",        ERROR,   "reason waiting_bytes retry_ms") \
    X(STORE_RECOVERED,     "store_recovered",     INFO,    "retries") \
    X(NOT_CONFIGURED,      "not_configured",      WARNING, "missing mend") \
    X(RUN_BUSY,            "run_busy",            INFO,    "reason") \
    X(CLOCK_DOUBTED,       "clock_doubted",       ERROR,   "clock expected mend") \
    X(CLOCK_ACCEPTED,      "clock_accepted",      WARNING, "clock expected reason") \
    X(CLOCK_UNSAVED,       "clock_unsaved",       WARNING, "reason") \
    X(RELAY_MUST_SIGN,     "relay_must_sign",     WARNING, "relay domain mend") \
    X(RUN_DONE,            "run_done",            INFO,    "days reports skipped waiting delivered later given_up expired suppressed") \
    X(DAY_CLOSED,          "day_closed",          INFO,    "day") \
    X(DAY_WAITS,           "day_waits",           INFO,    "day reason") \
    X(DAYS_MISSED,         "days_missed",         WARNING, "days max_age_days") \
    X(RECORDS_WAIT,        "records_wait",        WARNING, "day domains") \
    X(REPORT_BUILT,        "report_built",        INFO,    "day domain destinations bytes") \
    X(REPORT_FAILED,       "report_failed",       ERROR,   "day domain reason") \
    X(REPORT_FOLDED,       "report_folded",       WARNING, "day domain details") \
    X(COUNT_CLAMPED,       "count_clamped",       WARNING, "day domain counts") \
    X(REPORT_DELIVERED,    "report_delivered",    INFO,    "day domain rua tries stage code reply next") \
    X(DELIVERY_LATER,      "delivery_later",      WARNING, "day domain rua tries stage code reply next") \
    X(DELIVERY_GIVEN_UP,   "delivery_given_up",   WARNING, "day domain rua tries stage code reply next") \
    X(DELIVERY_EXPIRED,    "delivery_expired",    WARNING, "day domain rua tries stage code reply next") \
    X(DELIVERY_SUPPRESSED, "delivery_suppressed", INFO,    "day domain rua tries stage code reply next") \
    X(MAILBOX_SUPPRESSED,  "mailbox_suppressed",  WARNING, "rua until reply") \
    X(DELIVERIES_LEFT,     "deliveries_left",     WARNING, "kind host deliveries reason") \
    X(BUDGET_REACHED,      "budget_reached",      WARNING, "domain destination owner setting limit") \
    X(DELIVERIES_RECOVERED, "deliveries_recovered", WARNING, "deliveries") \
    X(COPY_FAILED,         "copy_failed",         WARNING, "domain rua reply") \
    X(ARCHIVE_FAILED,      "archive_failed",      WARNING, "path reason") \
    X(LINE_MALFORMED,      "line_malformed",      WARNING, "reason begin") \
    X(LOG_FOLLOWED,        "log_followed",        INFO,    "path") \
    X(LOG_ABSENT,          "log_absent",          WARNING, "path reason mend") \
    X(DANE_NOT_VALIDATED,  "dane_not_validated",  WARNING, "hint") \
    X(LOG_ROTATED,         "log_rotated",         INFO,    "rotations") \
    X(LOG_READ,            "log_read",            INFO,    "lines told ambiguous no_domain too_long evicted malformed") \
    X(CHECKPOINT_LOST,          "place_lost",          WARNING, "path") \
    X(CHECKPOINT_FAILED,   "checkpoint_failed",   WARNING, "reason") \
    X(COLLECTOR_AWAY,      "collector_away",      WARNING, "socket reason") \
    X(COLLECTOR_BACK,      "collector_back",      INFO,    "socket") \
    X(PUSHED,              "pushed",              INFO,    "rows looked_at complete_through") \
    X(PUSH_FAILED,         "push_failed",         ERROR,   "reason") \
    X(FLEET_SHARE,         "fleet_share",         INFO,    "buckets generator") \
    X(FLEET_BUSY,          "fleet_busy",          INFO,    "reason") \
    X(FLEET_HOST_MISSED,   "fleet_host_missed",   WARNING, "day host complete_through") \
    X(FATAL,               "fatal",               ERROR,   "reason")
// clang-format on

enum log_event_id {
#define LOG_EVENT_ID(id, name, level, fields) EV_##id,
    LOG_EVENTS(LOG_EVENT_ID)
#undef LOG_EVENT_ID
    LOG_EVENT_COUNT,
};

extern struct log_event log_events[LOG_EVENT_COUNT];

/* LOG_FACT(EV_FATAL, log_text("reason", err.text)); */
#define LOG_FACT(id, ...) LOG(&log_events[id], __VA_ARGS__)

#endif
