/* SPDX-License-Identifier: MIT */
/*
 * Texts, one a line of the input, as the values of a mail: either it is refused, or the header is ours line
 * by line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "mail/compose.h"

#define MAIL_MAX (1 << 20)
#define FIELDS   9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Begins of the header's lines, in order. */
static const char *const LINES[] = {
    "Date: ",       "Message-ID: <", "MIME-Version: 1.0\r", "From: <",
    "To: <",        "Subject: ",     " Submitter: ",        " Report-ID: <",
    "TLS-Report-D", "TLS-Report-S",  "TLS-Required: No\r",  "Auto-Submitted: auto-generated\r",
    "Content-Type", " boundary=\"",  "\r\n--=_tlsrpt_",
};

/* Every byte is 7bit, every line short enough, and the header's lines are the ones above. */
static void check(const struct strbuf *mail)
{
    const char *at = mail->data;
    size_t column = 0;

    for (size_t i = 0; i < ARRAY_COUNT(LINES); i++) {
        if (strncmp(at, LINES[i], strlen(LINES[i])) != 0)
            abort();
        at = strstr(at, "\r\n") + 2;
    }
    for (size_t i = 0; i < mail->len; i++) {
        unsigned char byte = (unsigned char)mail->data[i];

        column = byte == '\n' ? 0 : column + 1;
        if (byte >= 0x7f || (byte < ' ' && byte != '\r' && byte != '\n') || column > 999 ||
            (byte == '\n') != (i > 0 && mail->data[i - 1] == '\r'))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report_meta meta = {.organization_name = "Seaport",
                               .contact_info = "tls@reports.seaport.example",
                               .submitter = "reports.seaport.example",
                               .domain = "quay.example",
                               .report_id = "1.1.quay.example@reports.seaport.example",
                               .utc_day = 20526};
    struct report_summary summary = {.sessions = {1, 1}, .folded = 1};
    struct mail_parts parts = {.meta = &meta,
                               .summary = &summary,
                               .from = "tls@reports.seaport.example",
                               .to = "tls@quay.example",
                               .message_id = "1.1.quay.example.rua1@reports.seaport.example",
                               .file_name = "reports.seaport.example!quay.example!1!2.json.gz",
                               .date_s = 1773533537,
                               .gzip = data,
                               .gzip_len = size};
    const char **places[FIELDS] = {&meta.organization_name, &parts.to,         &parts.from,
                                   &meta.contact_info,      &meta.submitter,   &meta.domain,
                                   &meta.report_id,         &parts.message_id, &parts.file_name};
    char *copy = malloc(size + 1), *at = copy;
    struct strbuf mail;
    struct err err = {0};
    enum status status;

    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    copy[size] = '\0';
    /* Line number i replaces value number i if it is not empty; the last may hold line ends. */
    for (size_t i = 0; i < FIELDS && at != NULL; i++) {
        char *end = i + 1 < FIELDS ? strchr(at, '\n') : NULL;

        if (end != NULL)
            *end++ = '\0';
        if (*at != '\0')
            *places[i] = at;
        at = end;
    }
    strbuf_init(&mail, MAIL_MAX);
    status = mail_compose(&parts, &mail, &err);
    if (status == ST_OK)
        check(&mail);
    else if (status != ST_SYNTAX && status != ST_RANGE)
        abort();
    strbuf_done(&mail);
    free(copy);
    return 0;
}
