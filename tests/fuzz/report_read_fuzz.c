/* SPDX-License-Identifier: MIT */
/* Anybody's report: read, judged, and printed again; what is printed must read the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report_document document, again;
    struct finding_list findings;
    struct strbuf pretty;
    struct arena arena;
    struct err err;

    arena_init(&arena, 64 << 20);
    strbuf_init(&pretty, 16 << 20);
    finding_list_init(&findings, &arena);
    if (report_read((const char *)data, size, &arena, &findings, &document, &err) == ST_OK) {
        struct report_envelope envelope = {.file_name = document.report_id};

        report_check_envelope(&envelope, &document, &findings);
        if (report_format_pretty((const char *)data, size, &pretty, &err) == ST_OK) {
            if (report_read(pretty.data, pretty.len, &arena, &findings, &again, &err) != ST_OK ||
                again.success != document.success || again.policy_count != document.policy_count ||
                strcmp(again.organization_name, document.organization_name) != 0)
                abort();
        }
    }
    strbuf_done(&pretty);
    arena_done(&arena);
    return 0;
}
