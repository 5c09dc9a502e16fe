/* SPDX-License-Identifier: MIT */
#include "app/log_events.h"

struct log_event log_events[LOG_EVENT_COUNT] = {
#define LOG_EVENT_ROW(id, event_name, event_level, event_fields)                                             \
    [EV_##id] = {.name = (event_name), .level = LOG_LEVEL_##event_level, .fields = (event_fields)},
    LOG_EVENTS(LOG_EVENT_ROW)
#undef LOG_EVENT_ROW
};
