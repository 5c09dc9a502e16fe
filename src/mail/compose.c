/* SPDX-License-Identifier: MIT */
/*
 * Every value is checked against the grammar of its place first; then headers, text part and report part are
 * appended one after the other.  The boundary is a function of the Message-ID, so a retry gives the same bytes.
 */
#include "mail/compose.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/fnv1a.h"
#include "base64.h"
#include "mail_text.h"

#define LINE_MAX_BYTES 998 /* RFC 5322 section 2.1.1 */
#define BASE64_COLUMNS 76
#define QUOTED_COLUMNS 76
#define TEXT_MAX       16384
#define ADDRESS_MAX    320
#define NAME_MAX_BYTES 900 /* of any one token, so that its line stays below LINE_MAX_BYTES */
#define DATE_TEXT_SIZE 40
#define BOUNDARY_SIZE  32
#define LOWER          "abcdefghijklmnopqrstuvwxyz"
#define UPPER          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS         "0123456789"
#define DOMAIN_BYTES   LOWER DIGITS "-_."
#define ATEXT          LOWER UPPER DIGITS "!#$%&'*+-/=?^_`{|}~"

/* ---- checks ---- */

static bool consists_of(const char *text, size_t len, const char *set)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0' || strchr(set, text[i]) == NULL)
            return false;
    return len > 0;
}

/* Words of set with single dots between them. */
static bool is_dotted(const char *text, size_t len, const char *set)
{
    return len <= NAME_MAX_BYTES && consists_of(text, len, set) && text[0] != '.' && text[len - 1] != '.' &&
           memmem(text, len, "..", 2) == NULL;
}

static bool is_domain(const char *text)
{
    return is_dotted(text, strlen(text), DOMAIN_BYTES);
}

/* quoted-string of printable ASCII (RFC 5322 section 3.2.4). */
static bool is_quoted_string(const char *text, size_t len)
{
    if (len < 2 || text[0] != '"' || text[len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < len; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            return false;
        if (i + 1 >= len || text[i] < ' ' || text[i] > '~')
            return false;
    }
    return true;
}

/* local-part "@" domain (R17). */
static bool is_address(const char *text)
{
    const char *at_sign = strrchr(text, '@');
    size_t local = at_sign != NULL ? (size_t)(at_sign - text) : 0;

    return at_sign != NULL && strlen(text) <= ADDRESS_MAX &&
           is_dotted(at_sign + 1, strlen(at_sign + 1), DOMAIN_BYTES UPPER) &&
           (is_dotted(text, local, ATEXT ".") || is_quoted_string(text, local));
}

/* dot-atom-text "@" dot-atom-text, for Message-ID and Report-ID (R43). */
static bool is_id(const char *text)
{
    const char *at_sign = strchr(text, '@');

    return at_sign != NULL && strlen(text) <= NAME_MAX_BYTES &&
           is_dotted(text, (size_t)(at_sign - text), ATEXT ".") &&
           is_dotted(at_sign + 1, strlen(at_sign + 1), ATEXT ".");
}

static bool is_file_name(const char *text)
{
    return strlen(text) <= NAME_MAX_BYTES && consists_of(text, strlen(text), DOMAIN_BYTES "!");
}

/* R42: contact-info's domain is the submitter, letter case aside: the setting is as the operator wrote it. */
static bool is_contact(const struct report_meta *meta)
{
    const char *at_sign = strrchr(meta->contact_info, '@');

    return at_sign != NULL && strcasecmp(at_sign + 1, meta->submitter) == 0 &&
           strlen(meta->contact_info) <= ADDRESS_MAX &&
           is_dotted(meta->contact_info, (size_t)(at_sign - meta->contact_info), ATEXT ".");
}

static enum status check_parts(const struct mail_parts *parts, struct err *err)
{
    const struct {
        const char *name;
        bool is_good;
    } checks[] = {
        {"policy domain", is_domain(parts->meta->domain)},
        {"submitter", is_domain(parts->meta->submitter)},
        {"contact-info (its domain must be the submitter)", is_contact(parts->meta)},
        {"report-id", is_id(parts->meta->report_id)},
        {"From address", is_address(parts->from)},
        {"To address", is_address(parts->to)},
        {"Message-ID", is_id(parts->message_id)},
        {"file name", is_file_name(parts->file_name)},
    };

    for (size_t i = 0; i < ARRAY_COUNT(checks); i++)
        if (!checks[i].is_good)
            return err_set(err, ST_SYNTAX, "mail: the %s cannot stand in a header", checks[i].name);
    return ST_OK;
}

/* ---- headers ---- */

/* RFC 5322 section 3.3, in English whatever the locale. */
static void format_date(int64_t utc_s, char text_out[DATE_TEXT_SIZE])
{
    static const char DAYS[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)utc_s;
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm);
    (void)snprintf(text_out, DATE_TEXT_SIZE, "%s, %d %s %d %02d:%02d:%02d +0000", DAYS[tm.tm_wday % 7],
                   tm.tm_mday, MONTHS[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/*
 * A boundary that is a function of the Message-ID (FNV-1a).  It holds "=_", which neither base64 nor
 * quoted-printable can, and which our own plain text never has at the begin of a line.
 */
static void format_boundary(const char *message_id, char text_out[BOUNDARY_SIZE])
{
    (void)snprintf(text_out, BOUNDARY_SIZE, "=_tlsrpt_%016" PRIx64,
                   fnv1a(FNV1A_START, message_id, strlen(message_id)));
}

static void add_headers(const struct mail_parts *parts, const char *boundary, struct strbuf *out)
{
    const struct report_meta *meta = parts->meta;
    char date[DATE_TEXT_SIZE];

    format_date(parts->date_s, date);
    strbuf_addf(out, "Date: %s\r\nMessage-ID: <%s>\r\nMIME-Version: 1.0\r\n", date,
                parts->message_id);                                         /* R52 */
    strbuf_addf(out, "From: <%s>\r\nTo: <%s>\r\n", parts->from, parts->to); /* R55 */
    strbuf_addf(out, "Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>\r\n", meta->domain,
                meta->submitter, meta->report_id); /* R43, folded between tokens only */
    strbuf_addf(out, "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\n", meta->domain,
                meta->submitter);                                                   /* R41, R42 */
    strbuf_add_text(out, "TLS-Required: No\r\nAuto-Submitted: auto-generated\r\n"); /* R51, R52 */
    strbuf_addf(out, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"%s\"\r\n\r\n",
                boundary); /* R39 */
}

/* ---- parts ---- */

/* Can it go as 7bit: ASCII, and no line too long? */
static bool is_seven_bit(const struct strbuf *text)
{
    size_t column = 0;

    for (size_t i = 0; i < text->len; i++) {
        if ((unsigned char)text->data[i] >= 0x80)
            return false;
        column = text->data[i] == '\n' ? 0 : column + 1;
        if (column > LINE_MAX_BYTES)
            return false;
    }
    return true;
}

/* Does a blank here stand at the end of its line? */
static bool is_trailing(const struct strbuf *text, size_t at)
{
    return text->data[at] == ' ' && (at + 1 == text->len || text->data[at + 1] == '\r');
}

/* RFC 2045 section 6.7; text has CRLF line ends only. */
static void add_quoted_printable(const struct strbuf *text, struct strbuf *out)
{
    size_t column = 0;

    for (size_t at = 0; at < text->len; at++) {
        unsigned char byte = (unsigned char)text->data[at];
        bool is_line_end = byte == '\r' || byte == '\n';
        bool is_plain = byte >= ' ' && byte <= '~' && byte != '=' && !is_trailing(text, at);
        size_t width = is_plain ? 1 : 3;

        if (!is_line_end && column + width > QUOTED_COLUMNS - 1) {
            strbuf_add_text(out, "=\r\n");
            column = 0;
        }
        if (is_line_end || is_plain)
            strbuf_add_char(out, (char)byte);
        else
            strbuf_addf(out, "=%02X", byte);
        column = is_line_end ? 0 : column + width;
    }
}

static void add_text_part(const struct mail_parts *parts, const char *boundary, struct strbuf *out,
                          struct strbuf *text)
{
    bool is_plain;

    mail_text_write(parts, text);
    is_plain = is_seven_bit(text);
    strbuf_addf(out, "--%s\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
                boundary, is_plain ? "us-ascii" : "utf-8", is_plain ? "7bit" : "quoted-printable");
    if (is_plain)
        strbuf_add(out, text->data, text->len);
    else
        add_quoted_printable(text, out);
}

/* R40, R54: both names plain and quoted, since receivers look at the extension. */
static void add_report_part(const struct mail_parts *parts, const char *boundary, struct strbuf *out)
{
    strbuf_addf(out, "\r\n--%s\r\nContent-Type: application/tlsrpt+gzip;\r\n name=\"%s\"\r\n", boundary,
                parts->file_name);
    strbuf_addf(out,
                "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n"
                " filename=\"%s\"\r\n\r\n",
                parts->file_name);
    base64_encode(parts->gzip, parts->gzip_len, BASE64_COLUMNS, "\r\n", out);
    strbuf_addf(out, "\r\n--%s--\r\n", boundary);
}

enum status mail_compose(const struct mail_parts *parts, struct strbuf *out, struct err *err)
{
    enum status status = check_parts(parts, err);
    char boundary[BOUNDARY_SIZE];
    struct strbuf text;

    if (status != ST_OK)
        return status;
    strbuf_init(&text, TEXT_MAX);
    format_boundary(parts->message_id, boundary);
    add_headers(parts, boundary, out);
    add_text_part(parts, boundary, out, &text);
    add_report_part(parts, boundary, out);
    if (strbuf_is_failed(&text) || strbuf_lacks_memory(out))
        status = err_set(err, ST_NOMEM, "mail: out of memory");
    else if (strbuf_is_failed(out))
        status = err_set(err, ST_RANGE, "mail: does not fit in %zu bytes", out->max_bytes);
    strbuf_done(&text);
    return status;
}
