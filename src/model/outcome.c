/* SPDX-License-Identifier: MIT */
#include "model/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const STAGE_NAMES[OUTCOME_STAGE_COUNT] = {
    [OUTCOME_AT_START] = "start",     [OUTCOME_AT_GUARD] = "guard", [OUTCOME_AT_RESOLVE] = "resolve",
    [OUTCOME_AT_CONNECT] = "connect", [OUTCOME_AT_TLS] = "tls",     [OUTCOME_AT_GREETING] = "greeting",
    [OUTCOME_AT_MAIL] = "mail",       [OUTCOME_AT_RCPT] = "rcpt",   [OUTCOME_AT_DATA] = "data",
    [OUTCOME_AT_HTTP] = "http",
};

/* Line ends become blanks, trailing ones go; anything else that is not printable ASCII becomes '?'. */
static void make_printable(char *text)
{
    size_t len = strlen(text);

    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        text[--len] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte == '\r' || byte == '\n' || byte == '\t')
            *at = ' ';
        else if (byte < ' ' || byte >= 0x7f)
            *at = '?';
    }
}

void outcome_set(struct outcome *outcome, enum outcome_kind kind, enum outcome_stage stage, int code,
                 const char *format, ...)
{
    va_list arguments;

    *outcome = (struct outcome){.kind = kind, .stage = stage, .code = code};
    va_start(arguments, format);
    (void)vsnprintf(outcome->text, sizeof outcome->text, format, arguments);
    va_end(arguments);
    make_printable(outcome->text);
}

void outcome_put_in_doubt(struct outcome *outcome)
{
    static const char WORDS[] = "; it may have arrived";
    size_t len = strlen(outcome->text);

    if (len > sizeof outcome->text - sizeof WORDS)
        len = sizeof outcome->text - sizeof WORDS;
    memcpy(outcome->text + len, WORDS, sizeof WORDS);
    outcome->is_in_doubt = true;
}

const char *outcome_kind_name(enum outcome_kind kind)
{
    switch (kind) {
    case OUTCOME_DELIVERED:
        return "delivered";
    case OUTCOME_TRY_LATER:
        return "try-later";
    case OUTCOME_GIVE_UP:
        return "give-up";
    }
    return "unknown";
}

const char *outcome_stage_name(enum outcome_stage stage)
{
    return (unsigned)stage < OUTCOME_STAGE_COUNT ? STAGE_NAMES[stage] : "unknown";
}
