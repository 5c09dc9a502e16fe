/* SPDX-License-Identifier: MIT */
/*
 * The text is written from the report's summary: head, totals, the most frequent failures, what was left out, and
 * why this mail came.  compose.c encodes it.
 */
#include "mail_text.h"

#include <inttypes.h>
#include <string.h>

#include "base/utf8.h"
#include "model/utc_day.h"

#define TOP_FAILURES   5
#define NAME_BYTES_MAX 1024 /* as much of it as the report itself has */

/* The organisation's name, not all too long, without what would break a line or a charset. */
static void add_name(struct strbuf *out, const char *name)
{
    size_t len = strlen(name);

    for (size_t at = 0; at < len && at < NAME_BYTES_MAX;) {
        size_t step = utf8_sequence_len(name + at, len - at);

        if (step == 0 || (unsigned char)name[at] < ' ' || name[at] == 0x7f)
            strbuf_add_char(out, '?');
        else
            strbuf_add(out, name + at, step);
        at += step > 0 ? step : 1;
    }
}

static void add_head(const struct mail_parts *parts, struct strbuf *out)
{
    char day[UTC_DAY_TEXT_SIZE];

    utc_day_format(parts->meta->utc_day, day);
    strbuf_addf(out, "SMTP TLS report for %s, %s\r\n\r\n", parts->meta->domain, day);
    strbuf_add_text(out, "Sent by:   ");
    add_name(out, parts->meta->organization_name);
    strbuf_addf(out, "\r\nContact:   %s\r\nPeriod:    %s, 00:00:00 to 23:59:59 UTC\r\nReport-ID: %s\r\n\r\n",
                parts->meta->contact_info, day, parts->meta->report_id);
}

static void add_totals(const struct report_summary *summary, struct strbuf *out)
{
    strbuf_add_text(out, "Our mail servers opened TLS sessions to yours (SMTP with STARTTLS):\r\n\r\n");
    strbuf_addf(out, "  %10" PRIu64 "  succeeded\r\n", summary->sessions.success);
    strbuf_addf(out, "  %10" PRIu64 "  failed: no TLS, or not as your policy demands\r\n\r\n",
                summary->sessions.failure);
    if (summary->policies > 1)
        strbuf_addf(out,
                    "There were %" PRIu64 " policies; a session that was held against two of them counts\r\n"
                    "for both.\r\n\r\n",
                    summary->policies);
}

/* The types that failed most often, in words. */
static void add_failures(const struct report_summary *summary, struct strbuf *out)
{
    struct report_summary left = *summary;
    enum result_type type = report_summary_top(&left);

    if (type == RESULT_TYPE_COUNT) {
        strbuf_add_text(out, "No failure was seen.\r\n\r\n");
        return;
    }
    strbuf_add_text(out, "What went wrong most often:\r\n\r\n");
    for (int i = 0; i < TOP_FAILURES && type != RESULT_TYPE_COUNT; i++) {
        strbuf_addf(out, "  %10" PRIu64 "  %s\r\n              (%s)\r\n", left.failures[type],
                    result_type_words(type), result_type_name(type));
        left.failures[type] = 0;
        type = report_summary_top(&left);
    }
    strbuf_add_text(out, "\r\n");
}

/* Where the report is not the whole truth. */
static void add_limits(const struct report_summary *summary, struct strbuf *out)
{
    if (summary->folded > 0)
        strbuf_addf(out,
                    "The full report would have been too large to send: the %" PRIu64
                    " rarest of its %" PRIu64
                    "\r\nfailure details are summed up, one entry for each policy and result type.\r\n"
                    "All totals are exact.\r\n\r\n",
                    summary->folded, summary->details);
    if (summary->clamped > 0)
        strbuf_addf(out,
                    "%" PRIu64 " counts in the report stand at 2147483647, the largest that receivers can\r\n"
                    "read; they were larger.\r\n\r\n",
                    summary->clamped);
}

static void add_why(const struct mail_parts *parts, struct strbuf *out)
{
    strbuf_addf(out,
                "The attached file holds the details: gzip-compressed JSON as in RFC 8460.\r\n"
                "\r\n"
                "You get this because the DNS record\r\n"
                "\r\n"
                "  _smtp._tls.%s TXT\r\n"
                "\r\n"
                "asks for such reports and names this address. To stop them, take the address\r\n"
                "out of that record, or remove the record. No answer is expected; questions\r\n"
                "about this report reach us at %s.\r\n",
                parts->meta->domain, parts->meta->contact_info);
}

void mail_text_write(const struct mail_parts *parts, struct strbuf *out)
{
    add_head(parts, out);
    add_totals(parts->summary, out);
    add_failures(parts->summary, out);
    add_limits(parts->summary, out);
    add_why(parts, out);
}
