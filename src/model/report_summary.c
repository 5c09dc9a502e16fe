/* SPDX-License-Identifier: MIT */
#include "model/report_summary.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/cursor.h"

static const struct {
    const char *name;
    size_t offset;
} FIELDS[] = {
    {"success", offsetof(struct report_summary, sessions.success)},
    {"failure", offsetof(struct report_summary, sessions.failure)},
    {"policies", offsetof(struct report_summary, policies)},
    {"details", offsetof(struct report_summary, details)},
    {"folded", offsetof(struct report_summary, folded)},
    {"clamped", offsetof(struct report_summary, clamped)},
};

enum result_type report_summary_top(const struct report_summary *summary)
{
    enum result_type top = RESULT_TYPE_COUNT;
    uint64_t most = 0;

    for (int type = 0; type < RESULT_TYPE_COUNT; type++)
        if (summary->failures[type] > most) {
            most = summary->failures[type];
            top = (enum result_type)type;
        }
    return top;
}

void report_summary_format(const struct report_summary *summary, struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(FIELDS); i++) {
        uint64_t value;

        memcpy(&value, (const char *)summary + FIELDS[i].offset, sizeof value);
        strbuf_addf(out, "%s%s=%" PRIu64, i > 0 ? " " : "", FIELDS[i].name, value);
    }
    for (int type = 0; type < RESULT_TYPE_COUNT; type++)
        if (summary->failures[type] > 0)
            strbuf_addf(out, " %s=%" PRIu64, result_type_name((enum result_type)type),
                        summary->failures[type]);
}

static uint64_t *find_field(struct report_summary *summary, struct span name)
{
    for (size_t i = 0; i < ARRAY_COUNT(FIELDS); i++)
        if (span_is(name, FIELDS[i].name))
            return (uint64_t *)(void *)((char *)summary + FIELDS[i].offset);
    for (int type = 0; type < RESULT_TYPE_COUNT; type++)
        if (span_is(name, result_type_name((enum result_type)type)))
            return &summary->failures[type];
    return NULL;
}

enum status report_summary_parse(const char *text, struct report_summary *summary_out, struct err *err)
{
    struct report_summary summary = {0};
    struct cursor cursor;

    cursor_init(&cursor, text, strlen(text));
    while (!cursor_at_end(&cursor)) {
        uint64_t *field = find_field(&summary, cursor_take_until(&cursor, "="));

        if (field == NULL) {
            cursor_fail(&cursor);
            break;
        }
        cursor_expect(&cursor, "=");
        *field = cursor_take_number(&cursor, UINT64_MAX);
        if (!cursor_at_end(&cursor))
            cursor_expect(&cursor, " ");
    }
    if (cursor.is_failed)
        return err_set(err, ST_SYNTAX, "report summary is not understood at byte %zu", cursor.error_at);
    *summary_out = summary;
    return ST_OK;
}
