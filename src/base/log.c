/* SPDX-License-Identifier: MIT */
/*
 * One lock around everything.  Each event has its own counter of lines in the current minute; beyond the limit
 * lines are only counted, and the next line that is printed says how many.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"

#define LINE_MAX_BYTES (LOG_FIELDS_MAX * (LOG_VALUE_MAX * 4 + 64))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *program_name = "tlsrpt-gen";
static enum log_target log_target = LOG_TO_STDERR;
static bool has_priority_prefix = false;

/* JOURNAL_STREAM is "device:inode" of the stream to the journal; it is inherited even where stderr is not. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[48];
    struct stat found;

    if (stream == NULL || fstat(STDERR_FILENO, &found) != 0)
        return false;
    (void)snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)found.st_dev,
                   (unsigned long long)found.st_ino);
    return strcmp(stream, own) == 0;
}

void log_open(const char *program, enum log_target target)
{
    program_name = program;
    log_target = target;
    has_priority_prefix = is_journal();
    if (target == LOG_TO_SYSLOG)
        openlog(program, LOG_PID, LOG_MAIL);
}

/* False if this event has said enough in this period; *suppressed_out = lines left out before this one. */
static bool take_turn(struct log_event *event, unsigned *suppressed_out)
{
    int64_t now_s = clock_monotonic_ms() / 1000;

    *suppressed_out = 0;
    if (event->lines_in_period == 0 || now_s - event->period_start_s >= LOG_PERIOD_S) {
        event->period_start_s = now_s;
        event->lines_in_period = 0;
    }
    if (event->lines_in_period >= LOG_BURST) {
        event->suppressed++;
        return false;
    }
    event->lines_in_period++;
    *suppressed_out = event->suppressed;
    event->suppressed = 0;
    return true;
}

static bool is_plain(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '\\')
            return false;
    }
    return true;
}

static void add_quoted(struct strbuf *line, const char *text)
{
    strbuf_add_char(line, '"');
    for (size_t i = 0; i < LOG_VALUE_MAX && text[i] != '\0'; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte == '"' || byte == '\\')
            strbuf_addf(line, "\\%c", byte);
        else if (byte < ' ' || byte >= 0x7f)
            strbuf_addf(line, "\\x%02x", byte);
        else
            strbuf_add_char(line, (char)byte);
    }
    strbuf_add_char(line, '"');
}

/* What is unknown is left out, as in the reports. */
static void add_field(struct strbuf *line, const struct log_field *field)
{
    if (field->text != NULL && *field->text == '\0')
        return;
    strbuf_addf(line, " %s=", field->key);
    if (field->text == NULL)
        strbuf_addf(line, "%lld", (long long)field->number);
    else if (is_plain(field->text))
        strbuf_addf(line, "%.*s", LOG_VALUE_MAX, field->text);
    else
        add_quoted(line, field->text);
}

static void emit(enum log_level level, const char *line)
{
    if (log_target == LOG_TO_SYSLOG)
        syslog((int)level, "%s", line);
    else if (has_priority_prefix)
        fprintf(stderr, "<%d>%s\n", (int)level, line);
    else
        fprintf(stderr, "%s: %s\n", program_name, line);
}

void log_write(struct log_event *event, const struct log_field *fields)
{
    struct strbuf line;
    unsigned suppressed;

    (void)pthread_mutex_lock(&lock);
    if (take_turn(event, &suppressed)) {
        strbuf_init(&line, LINE_MAX_BYTES);
        strbuf_addf(&line, "event=%s", event->name);
        for (size_t i = 0; i < LOG_FIELDS_MAX && fields[i].key != NULL; i++)
            add_field(&line, &fields[i]);
        if (suppressed > 0)
            strbuf_addf(&line, " suppressed=%u", suppressed);
        emit(event->level, line.data);
        strbuf_done(&line);
    }
    (void)pthread_mutex_unlock(&lock);
}
