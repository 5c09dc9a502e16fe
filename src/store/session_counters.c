/* SPDX-License-Identifier: MIT */
#include "store/session_counters.h"

static const struct {
    const char *name;
    const char *help;
} COUNTERS[COUNTER_COUNT] = {
#define COUNTER_ROW(id, counter_name, counter_help) [COUNTER_##id] = {counter_name, counter_help},
    SESSION_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

const char *session_counter_name(enum session_counter counter)
{
    return COUNTERS[counter].name;
}

const char *session_counter_help(enum session_counter counter)
{
    return COUNTERS[counter].help;
}
