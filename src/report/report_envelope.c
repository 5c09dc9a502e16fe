/* SPDX-License-Identifier: MIT */
/*
 * What carried the report: its file name (RFC 8460 section 5.1) and the mail around it (section 5.3).  Each rule
 * is one check that adds a finding.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cursor.h"
#include "model/dkim_key.h"
#include "model/utc_day.h"
#include "report/report_read.h"

#define SECTION_3     "RFC 8460 section 3"
#define SECTION_5_1   "RFC 8460 section 5.1"
#define SECTION_5_2   "RFC 8460 section 5.2"
#define SECTION_5_3   "RFC 8460 section 5.3"
#define SECTION_6_3   "RFC 8460 sections 5.3 and 6.3"
#define FILE_TIME_MAX 253402300799ULL /* the last second of the year 9999 */

struct checking {
    const struct report_envelope *envelope;
    const struct report_document *document;
    struct finding_list *findings;
};

static void find(struct checking *checking, enum finding_level level, const char *rule, const char *where,
                 const char *text)
{
    finding_add(checking->findings, level, rule, where, "%s", text);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcasecmp(text + len - end_len, end) == 0;
}

/* The submitter that the report itself names: its contact's domain; "" if there is none. */
static const char *submitter_of(const struct report_document *document)
{
    const char *at_sign = strrchr(document->contact_info, '@');

    return at_sign != NULL ? at_sign + 1 : "";
}

static bool span_is_caseless(struct span span, const char *word)
{
    return span.len == strlen(word) && strncasecmp(span.at, word, span.len) == 0;
}

/* ---- the file's name: submitter!domain!begin!end[!uid].json[.gz] ---- */

static void check_file_times(struct checking *checking, uint64_t begin_s, uint64_t end_s)
{
    char begin_text[UTC_STAMP_TEXT_SIZE], end_text[UTC_STAMP_TEXT_SIZE];
    const struct report_document *document = checking->document;

    if (!document->has_period ||
        (begin_s == (uint64_t)document->begin_s && end_s == (uint64_t)document->end_s))
        return;
    utc_stamp_format((int64_t)begin_s, begin_text);
    utc_stamp_format((int64_t)end_s, end_text);
    finding_add(checking->findings, FINDING_SHOULD, SECTION_5_1, "file name",
                "its times %llu and %llu are %s and %s, not the report's period", (unsigned long long)begin_s,
                (unsigned long long)end_s, begin_text, end_text);
}

static void check_file_parts(struct checking *checking, struct cursor *cursor)
{
    const char *submitter = submitter_of(checking->document);
    struct span sender, domain;
    uint64_t begin_s, end_s;

    sender = cursor_take_until(cursor, "!");
    cursor_expect(cursor, "!");
    domain = cursor_take_until(cursor, "!");
    cursor_expect(cursor, "!");
    begin_s = cursor_take_number(cursor, FILE_TIME_MAX);
    cursor_expect(cursor, "!");
    end_s = cursor_take_number(cursor, FILE_TIME_MAX);
    if (cursor_skip_word(cursor, "!"))
        (void)cursor_take_while(cursor, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    if (cursor->is_failed || !(cursor_skip_word(cursor, ".json.gz") || cursor_skip_word(cursor, ".json")) ||
        !cursor_at_end(cursor) || sender.len == 0 || domain.len == 0) {
        find(checking, FINDING_SHOULD, SECTION_5_1, "file name",
             "is not of the form submitter!domain!begin!end.json.gz");
        return;
    }
    check_file_times(checking, begin_s, end_s);
    if (*submitter != '\0' && !span_is_caseless(sender, submitter))
        find(checking, FINDING_SHOULD, SECTION_5_1, "file name",
             "begins with another submitter than contact-info's domain");
    if (checking->envelope->is_mail && *checking->envelope->tls_report_domain != '\0' &&
        !span_is_caseless(domain, checking->envelope->tls_report_domain))
        find(checking, FINDING_SHOULD, "RFC 8460 section 5.6", "file name",
             "names another domain than TLS-Report-Domain");
}

static void check_file_name(struct checking *checking)
{
    const char *name = checking->envelope->file_name;
    struct cursor cursor;

    if (*name == '\0')
        return;
    /* The extension's rule needs no more than the bytes (R37). */
    if (ends_with(name, ".gz") && !checking->envelope->is_gzip)
        find(checking, FINDING_MUST, SECTION_5_1, "file name", "ends in .gz, but the content is not gzip");
    if (ends_with(name, ".json") && checking->envelope->is_gzip)
        find(checking, FINDING_MUST, SECTION_5_1, "file name", "ends in .json, but the content is gzip");
    if (!checking->envelope->is_mail && strchr(name, '!') == NULL)
        return; /* somebody saved it under a name of his own */
    cursor_init(&cursor, name, strlen(name));
    check_file_parts(checking, &cursor);
}

/* ---- the mail ---- */

static void check_types(struct checking *checking)
{
    const struct report_envelope *envelope = checking->envelope;
    bool says_gzip = strcmp(envelope->part_type, "application/tlsrpt+gzip") == 0;

    if (strcmp(envelope->media_type, "multipart/report") != 0)
        finding_add(checking->findings, FINDING_MUST, SECTION_5_3, "Content-Type",
                    "is %.80s; the message must be multipart/report",
                    *envelope->media_type != '\0' ? envelope->media_type : "missing");
    else if (strcmp(envelope->report_type, "tlsrpt") != 0)
        finding_add(checking->findings, FINDING_MUST, SECTION_5_3, "Content-Type",
                    "has report-type \"%.80s\"; it must be tlsrpt", envelope->report_type);
    else if (envelope->part_count != 2)
        finding_add(checking->findings, FINDING_SHOULD, SECTION_5_3, "Content-Type",
                    "has %zu parts; there are two, a text for people and the report", envelope->part_count);
    if (!says_gzip && strcmp(envelope->part_type, "application/tlsrpt+json") != 0)
        finding_add(checking->findings, FINDING_MUST, SECTION_6_3, "the report's part",
                    "is %.80s; it must be application/tlsrpt+gzip or application/tlsrpt+json",
                    *envelope->part_type != '\0' ? envelope->part_type : "of no type");
    else if (says_gzip != envelope->is_gzip)
        find(checking, FINDING_MUST, SECTION_6_3, "the report's part",
             says_gzip ? "says +gzip, but the content is not gzip" : "says +json, but the content is gzip");
    if (!envelope->is_gzip)
        find(checking, FINDING_SHOULD, SECTION_5_2, "the report's part", "is not compressed");
    if (envelope->report_count > 1)
        find(checking, FINDING_SHOULD, SECTION_5_3, "the message",
             "holds more than one report; the first is shown");
}

static void check_names(struct checking *checking)
{
    const struct report_envelope *envelope = checking->envelope;
    const char *submitter = submitter_of(checking->document);

    if (*envelope->tls_report_domain == '\0')
        find(checking, FINDING_MUST, SECTION_5_3, "TLS-Report-Domain", "this header field is missing");
    if (*envelope->tls_report_submitter == '\0')
        find(checking, FINDING_MUST, SECTION_5_3, "TLS-Report-Submitter", "this header field is missing");
    else if (*submitter != '\0' && strcasecmp(envelope->tls_report_submitter, submitter) != 0)
        finding_add(checking->findings, FINDING_MUST, SECTION_5_3, "TLS-Report-Submitter",
                    "is %.80s; it must be contact-info's domain, %.80s", envelope->tls_report_submitter,
                    submitter);
    if (envelope->is_name_extended)
        find(checking, FINDING_NOTE, SECTION_5_1, "file name",
             "is written in the form of RFC 2231; receivers that look for its ending do not find it");
}

/* "Report Domain: D Submitter: S Report-ID: <left@right>" (R43). */
static void check_subject(struct checking *checking)
{
    const struct report_envelope *envelope = checking->envelope;
    struct cursor cursor;
    struct span domain, submitter, id;
    bool is_bracketed;

    cursor_init(&cursor, envelope->subject, strlen(envelope->subject));
    cursor_expect(&cursor, "Report Domain:");
    (void)cursor_skip_any(&cursor, " \t");
    domain = cursor_take_until(&cursor, " \t");
    (void)cursor_skip_any(&cursor, " \t");
    cursor_expect(&cursor, "Submitter:");
    (void)cursor_skip_any(&cursor, " \t");
    submitter = cursor_take_until(&cursor, " \t");
    (void)cursor_skip_any(&cursor, " \t");
    cursor_expect(&cursor, "Report-ID:");
    (void)cursor_skip_any(&cursor, " \t");
    is_bracketed = cursor_skip_word(&cursor, "<");
    id = cursor_take_until(&cursor, "> \t");
    if (cursor.is_failed || domain.len == 0 || submitter.len == 0 || id.len == 0) {
        find(checking, FINDING_SHOULD, SECTION_5_3, "Subject",
             "is not \"Report Domain: D Submitter: S Report-ID: <left@right>\"");
        return;
    }
    if (!is_bracketed || !cursor_skip_word(&cursor, ">"))
        find(checking, FINDING_SHOULD, SECTION_5_3, "Subject", "its Report-ID does not stand in < and >");
    else if (memchr(id.at, '@', id.len) == NULL || memchr(id.at, ':', id.len) != NULL)
        find(checking, FINDING_SHOULD, SECTION_5_3, "Subject",
             "its Report-ID is not of the form <left@right>");
    if (!span_is(id, checking->document->report_id))
        find(checking, FINDING_NOTE, SECTION_5_3, "Subject", "its Report-ID is not the report's report-id");
    if (*envelope->tls_report_domain != '\0' && !span_is_caseless(domain, envelope->tls_report_domain))
        find(checking, FINDING_SHOULD, "RFC 8460 section 5.6", "Subject",
             "names another domain than TLS-Report-Domain");
}

static bool names_field(struct span list, const char *name)
{
    struct cursor cursor;

    cursor_init(&cursor, list.at, list.len);
    while (!cursor_at_end(&cursor)) {
        (void)cursor_skip_any(&cursor, " \t:");
        if (span_is_caseless(cursor_take_until(&cursor, " \t:"), name))
            return true;
    }
    return false;
}

static void check_signature(struct checking *checking)
{
    const struct span field = {checking->envelope->dkim_signature,
                               strlen(checking->envelope->dkim_signature)};
    struct span signed_fields;

    if (field.len == 0) {
        find(checking, FINDING_MUST, SECTION_3, "DKIM-Signature",
             "there is none; a report sent by mail must be signed by the reporting domain");
        return;
    }
    if (dkim_tag_find(field, "l").at != NULL)
        find(checking, FINDING_MUST, SECTION_3, "DKIM-Signature", "has the tag l=, which is forbidden here");
    signed_fields = dkim_tag_find(field, "h");
    if (signed_fields.at == NULL || !names_field(signed_fields, "TLS-Report-Domain") ||
        !names_field(signed_fields, "TLS-Report-Submitter"))
        find(checking, FINDING_SHOULD, SECTION_5_3, "DKIM-Signature",
             "does not sign TLS-Report-Domain and TLS-Report-Submitter");
}

static void check_mail(struct checking *checking)
{
    const struct report_envelope *envelope = checking->envelope;

    check_types(checking);
    check_names(checking);
    check_subject(checking);
    check_signature(checking);
    if (*envelope->date == '\0' || *envelope->from == '\0')
        find(checking, FINDING_MUST, "RFC 5322 section 3.6", "the message", "has no Date or no From");
    if (*envelope->message_id == '\0')
        find(checking, FINDING_NOTE, "RFC 5322 section 3.6.4", "the message", "has no Message-ID");
    if (strcasecmp(envelope->tls_required, "No") != 0)
        find(checking, FINDING_NOTE, "RFC 8689 section 3", "TLS-Required",
             "is not there; with \"No\" a report arrives although TLS is broken");
}

void report_check_envelope(const struct report_envelope *envelope, const struct report_document *document,
                           struct finding_list *findings)
{
    struct checking checking = {envelope, document, findings};

    check_file_name(&checking);
    if (envelope->is_mail)
        check_mail(&checking);
}
