/* SPDX-License-Identifier: MIT */
/*
 * json_text.c - what report_format_pretty makes of many texts, for the comparison with Python's json.
 *
 * In: a line per text, in hexadecimal.  Out: a line per text: "ok HEX" or the name of the status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/names.h"
#include "report/report_read.h"

#define TEXT_MAX (1 << 20)

static char line[2 * TEXT_MAX + 2], text[TEXT_MAX];

static size_t from_hex(void)
{
    size_t len = 0;

    for (const char *at = line; at[0] > ' ' && at[1] > ' '; at += 2) {
        const char digits[3] = {at[0], at[1], '\0'};

        text[len++] = (char)strtoul(digits, NULL, 16);
    }
    return len;
}

int main(void)
{
    struct strbuf pretty;

    strbuf_init(&pretty, 16 * TEXT_MAX);
    while (fgets(line, sizeof line, stdin) != NULL) {
        enum status status;

        strbuf_reset(&pretty);
        status = report_format_pretty(text, from_hex(), &pretty, NULL);
        (void)fputs(status == ST_OK ? "ok " : status_name(status), stdout);
        for (size_t i = 0; status == ST_OK && i < pretty.len; i++)
            (void)printf("%02x", (unsigned char)pretty.data[i]);
        (void)putchar('\n');
    }
    strbuf_done(&pretty);
    return ferror(stdin) != 0;
}
