/* SPDX-License-Identifier: MIT */
/* A summary's line from anywhere: refused, or it says the same after a round trip. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/report_summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report_summary first = {0}, second = {0};
    char *copy = malloc(size + 1);
    struct strbuf text;
    struct err err;

    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    copy[size] = '\0';
    strbuf_init(&text, REPORT_SUMMARY_TEXT_MAX);
    if (report_summary_parse(copy, &first, &err) == ST_OK) {
        report_summary_format(&first, &text);
        if (strbuf_is_failed(&text) || report_summary_parse(text.data, &second, &err) != ST_OK ||
            memcmp(&first, &second, sizeof first) != 0)
            abort();
    }
    strbuf_done(&text);
    free(copy);
    return 0;
}
