/* SPDX-License-Identifier: MIT */
/* Anybody's mail: find the report in it. */
#include <stddef.h>
#include <stdint.h>

#include "mail/mail_read.h"
#include "report/report_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct report_document document = {
        .organization_name = "", .contact_info = "a@b.example", .report_id = "1", .start = "", .end = ""};
    struct report_envelope envelope;
    struct finding_list findings;
    struct strbuf report;
    struct arena arena;
    struct err err;

    arena_init(&arena, 64 << 20);
    strbuf_init(&report, 16 << 20);
    finding_list_init(&findings, &arena);
    (void)mail_read_is_mail((const char *)data, size);
    if (mail_read_report((const char *)data, size, &arena, &report, &envelope, &err) == ST_OK)
        report_check_envelope(&envelope, &document, &findings);
    strbuf_done(&report);
    arena_done(&arena);
    return 0;
}
