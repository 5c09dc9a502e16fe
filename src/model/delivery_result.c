/* SPDX-License-Identifier: MIT */
#include "model/delivery_result.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const STAGE_NAMES[DELIVERY_STAGE_COUNT] = {
    [DELIVERY_AT_START] = "start",     [DELIVERY_AT_ADDRESS_POLICY] = "guard",
    [DELIVERY_AT_RESOLVE] = "resolve", [DELIVERY_AT_CONNECT] = "connect",
    [DELIVERY_AT_TLS] = "tls",         [DELIVERY_AT_GREETING] = "greeting",
    [DELIVERY_AT_MAIL] = "mail",       [DELIVERY_AT_RCPT] = "rcpt",
    [DELIVERY_AT_DATA] = "data",       [DELIVERY_AT_HTTP] = "http",
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

void delivery_result_set(struct delivery_result *result, enum delivery_result_kind kind,
                         enum delivery_stage stage, int code, const char *format, ...)
{
    va_list arguments;

    *result = (struct delivery_result){.kind = kind, .stage = stage, .code = code};
    va_start(arguments, format);
    (void)vsnprintf(result->text, sizeof result->text, format, arguments);
    va_end(arguments);
    make_printable(result->text);
}

void delivery_result_put_in_doubt(struct delivery_result *result)
{
    static const char WORDS[] = "; it may have arrived";
    size_t len = strlen(result->text);

    if (len > sizeof result->text - sizeof WORDS)
        len = sizeof result->text - sizeof WORDS;
    memcpy(result->text + len, WORDS, sizeof WORDS);
    result->is_in_doubt = true;
}

const char *delivery_stage_name(enum delivery_stage stage)
{
    return (unsigned)stage < DELIVERY_STAGE_COUNT ? STAGE_NAMES[stage] : "unknown";
}
