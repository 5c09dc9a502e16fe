/* SPDX-License-Identifier: MIT */
/*
 * log.h - one fact per line: event=NAME key=value key=value.
 *
 * Values are escaped (a blank, quote, backslash, control or non-ASCII byte makes the value a quoted string
 * with \xHH), so no outside text can forge a field or a line; an empty one is left out.  Each event is
 * limited to LOG_BURST lines per LOG_PERIOD_S; the next line that passes counts those left out
 * (suppressed=N).  Lines go to stderr, with a "<N>" priority in front when stderr is the journal, or to
 * syslog(3).  Thread safe.  Only app, the jobs and main call this.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_BURST      20
#define LOG_PERIOD_S   60
#define LOG_VALUE_MAX  300 /* bytes of one value that are shown */
#define LOG_FIELDS_MAX 20

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6
};

enum log_target {
    LOG_TO_STDERR,
    LOG_TO_SYSLOG
};

/* One row of the program's event table; the counters belong to the logger. */
struct log_event {
    const char *name;
    enum log_level level;
    const char *fields; /* names of its fields, for the manual and its check */
    int64_t period_start_s;
    unsigned lines_in_period;
    unsigned suppressed;
};

struct log_field {
    const char *key; /* NULL ends the list */
    const char *text;
    int64_t number;
};

static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){.key = key, .text = text != 0 ? text : ""};
}

static inline struct log_field log_number(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .text = 0, .number = number};
}

/* program is borrowed for the life of the process. */
void log_open(const char *program, enum log_target target);

/* fields ends with a row whose key is NULL; use LOG. */
void log_write(struct log_event *event, const struct log_field *fields);

#define LOG(event, ...) log_write((event), (const struct log_field[]){__VA_ARGS__, {.key = 0}})

#endif
