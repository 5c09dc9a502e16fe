/* SPDX-License-Identifier: MIT */
/*
 * log_events.h - every event that the programs log: one table, read by the logger, the manual's check and the
 * tests.  Columns: identifier, name in the log, level, names of its fields (blank-separated).
 */
#ifndef CMD_LOG_EVENTS_H
#define CMD_LOG_EVENTS_H

#include "base/log.h"

// clang-format off
#define LOG_EVENTS(X) \
    X(COLLECTOR_STARTED,   "collector_started",   INFO,    "version sockets state_dir") \
    X(COLLECTOR_STOPPED,   "collector_stopped",   INFO,    "received stored malformed") \
    X(DATAGRAM_MALFORMED,  "datagram_malformed",  WARNING, "bytes reason begin") \
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
