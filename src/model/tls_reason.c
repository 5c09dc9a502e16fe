/* SPDX-License-Identifier: MIT */
/*
 * One table for each kind of text.  A row is the beginning of a text, its result type and flags; the first row
 * that fits decides, so longer beginnings come first.
 */
#include "model/tls_reason.h"

#include <string.h>

enum {
    DANE = 1,        /* only DANE speaks like this */
    KEEP_REASON = 2, /* the text behind the first `skip` bytes is the reason */
    MAYBE_LATE = 4,  /* may be an expired certificate */
    WHOLE = 8,       /* the text ends here; else any text that begins so fits */
    CERTIFICATE = 16 /* what was said about the certificate before is the true reason */
};

struct reason_row {
    const char *words;
    enum result_type result_type;
    unsigned flags;
    unsigned skip; /* bytes of words that are not told */
};

#define SESSION    "TLS session: "
#define UNVERIFIED "(certificate verification failed)"
#define LENGTH(s)  ((unsigned)(sizeof(s) - 1))

/* Exim: what it says about one attempt to set up TLS. */
static const struct reason_row EXIM_SESSION[] = {
    {UNVERIFIED ": Verification failed. The certificate differs.", RESULT_CERTIFICATE_NOT_TRUSTED,
     DANE | KEEP_REASON, LENGTH(UNVERIFIED ": Verification failed. ")},
    {UNVERIFIED ": Verification failed. ", RESULT_CERTIFICATE_NOT_TRUSTED, DANE | KEEP_REASON | MAYBE_LATE,
     LENGTH(UNVERIFIED ": Verification failed. ")}, /* "CA constrains were violated." */
    {UNVERIFIED ": certificate invalid", RESULT_VALIDATION_FAILURE, KEEP_REASON | MAYBE_LATE,
     LENGTH(UNVERIFIED ": ")},
    {UNVERIFIED ": certificate revoked", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON,
     LENGTH(UNVERIFIED ": ")},
    {UNVERIFIED ": ", RESULT_VALIDATION_FAILURE, KEEP_REASON, LENGTH(UNVERIFIED ": ")},
    {UNVERIFIED, RESULT_CERTIFICATE_HOST_MISMATCH, WHOLE, 0},
    {"", RESULT_VALIDATION_FAILURE, KEEP_REASON, 0}, /* "(gnutls_handshake): ..", "(SSL_connect): .." */
};

/* Exim: the text of a "==", "**" or "H=" line, or of the event msg:host:defer, that is about TLS. */
static const struct reason_row EXIM[] = {
    {"a TLS session is required, but the server did not offer TLS support", RESULT_STARTTLS_NOT_SUPPORTED, 0,
     0},
    {"a TLS session is required, but ", RESULT_VALIDATION_FAILURE, KEEP_REASON, 0},
    {"SMTP error from remote mail server after STARTTLS: ", RESULT_STARTTLS_NOT_SUPPORTED, 0, 0},
    {"DANE error: tlsa lookup FAIL", RESULT_DANE_REQUIRED, DANE, 0},
    {"DANE error: tlsa lookup ", RESULT_DNSSEC_INVALID, DANE, 0},
    {"DANE error: ", RESULT_DANE_REQUIRED, DANE, 0},
};

/* Postfix: its own words; a server's words never stand first ("host X said: .."). */
static const struct reason_row POSTFIX[] = {
    {"Server certificate not verified", RESULT_VALIDATION_FAILURE, WHOLE | KEEP_REASON | CERTIFICATE, 0},
    {"Server certificate not trusted", RESULT_CERTIFICATE_NOT_TRUSTED, WHOLE | KEEP_REASON | CERTIFICATE, 0},
    {"TLS is required, but was not offered by host ", RESULT_STARTTLS_NOT_SUPPORTED, 0, 0},
    {"TLS is required, but host ", RESULT_STARTTLS_NOT_SUPPORTED, 0,
     0}, /* ".. refused to start TLS: 454 .." */
    {"Cannot start TLS: ", RESULT_VALIDATION_FAILURE, KEEP_REASON, 0},
};

/* OpenSSL's and GnuTLS's words about a certificate, and Postfix's and Exim's own. */
static const struct reason_row CERTIFICATES[] = {
    {"certificate has expired", RESULT_CERTIFICATE_EXPIRED, 0, 0},
    {"num=10:", RESULT_CERTIFICATE_EXPIRED, 0, 0},
    {"hostname mismatch", RESULT_CERTIFICATE_HOST_MISMATCH, 0, 0},
    {"Hostname mismatch", RESULT_CERTIFICATE_HOST_MISMATCH, 0, 0},
    {"num=62:", RESULT_CERTIFICATE_HOST_MISMATCH, 0, 0},
    {"certificate name mismatch", RESULT_CERTIFICATE_HOST_MISMATCH, 0, 0},
    {"no matching DANE TLSA records", RESULT_CERTIFICATE_NOT_TRUSTED, DANE | KEEP_REASON, 0},
    {"No matching DANE TLSA records", RESULT_CERTIFICATE_NOT_TRUSTED, DANE | KEEP_REASON, 0},
    {"num=65:", RESULT_CERTIFICATE_NOT_TRUSTED, DANE | KEEP_REASON, LENGTH("num=65:")},
    {"untrusted issuer", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"self-signed certificate", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"self signed certificate", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"num=18:", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, LENGTH("num=18:")},
    {"num=19:", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, LENGTH("num=19:")},
    {"unable to get issuer certificate", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"unable to get local issuer certificate", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"unable to verify the first certificate", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"num=20:", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, LENGTH("num=20:")},
    {"num=21:", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, LENGTH("num=21:")},
    {"certificate chain too long", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"certificate revoked", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"certificate rejected", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"certificate not trusted", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"certificate signature failure", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"invalid CA certificate", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"path length constraint exceeded", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"unsupported certificate purpose", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"permitted subtree violation", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"excluded subtree violation", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"unsupported name constraint", RESULT_CERTIFICATE_NOT_TRUSTED, KEEP_REASON, 0},
    {"", RESULT_VALIDATION_FAILURE, KEEP_REASON, 0}, /* "certificate is not yet valid", .. */
};

static bool span_begins(struct span text, const char *words)
{
    size_t len = strlen(words);

    return text.len >= len && memcmp(text.at, words, len) == 0;
}

static const struct reason_row *find_row(const struct reason_row *rows, size_t count, struct span text)
{
    for (size_t i = 0; i < count; i++) {
        bool is_whole = text.len == strlen(rows[i].words);

        if (span_begins(text, rows[i].words) && ((rows[i].flags & WHOLE) == 0 || is_whole))
            return &rows[i];
    }
    return NULL;
}

/* For tables whose last row fits everything. */
static const struct reason_row *find_row_or_last(const struct reason_row *rows, size_t count,
                                                 struct span text)
{
    const struct reason_row *row = find_row(rows, count, text);

    return row != NULL ? row : &rows[count - 1];
}

static void apply(const struct reason_row *row, struct span text, struct tls_reason *out)
{
    *out = (struct tls_reason){.result_type = row->result_type,
                               .is_dane = (row->flags & DANE) != 0,
                               .may_be_expired = (row->flags & MAYBE_LATE) != 0};
    if ((row->flags & KEEP_REASON) != 0)
        out->reason = (struct span){.at = text.at + row->skip, .len = text.len - row->skip};
}

/* Exim adds these words to the text of the last attempt. */
static struct span without_suffix(struct span text, const char *suffix)
{
    size_t len = strlen(suffix);

    if (text.len >= len && memcmp(text.at + text.len - len, suffix, len) == 0)
        text.len -= len;
    return text;
}

static struct span without_final_blanks(struct span text)
{
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

void tls_reason_of_exim_session(struct span text, struct tls_reason *reason_out)
{
    text = without_final_blanks(without_suffix(without_final_blanks(text), ": retry timeout exceeded"));
    apply(find_row_or_last(EXIM_SESSION, ARRAY_COUNT(EXIM_SESSION), text), text, reason_out);
}

bool tls_reason_of_exim(struct span text, struct tls_reason *reason_out)
{
    const struct reason_row *row = find_row(EXIM, ARRAY_COUNT(EXIM), text);

    if (row == NULL && !span_begins(text, SESSION))
        return false;
    if (row != NULL)
        apply(row, text, reason_out);
    else
        tls_reason_of_exim_session((struct span){text.at + LENGTH(SESSION), text.len - LENGTH(SESSION)},
                                   reason_out);
    return true;
}

bool tls_reason_of_postfix(struct span text, bool *needs_certificate_out, struct tls_reason *reason_out)
{
    const struct reason_row *row = find_row(POSTFIX, ARRAY_COUNT(POSTFIX), text);

    if (row == NULL)
        return false;
    apply(row, text, reason_out);
    *needs_certificate_out = (row->flags & CERTIFICATE) != 0;
    return true;
}

void tls_reason_of_certificate(struct span text, struct tls_reason *reason_out)
{
    apply(find_row_or_last(CERTIFICATES, ARRAY_COUNT(CERTIFICATES), text), text, reason_out);
}

struct span tls_reason_openssl_words(struct span text)
{
    struct cursor cursor;
    struct span words;

    cursor_init(&cursor, text.at, text.len);
    cursor_expect(&cursor, "error:");
    for (int field = 0; field < 3; field++) { /* code, library, function */
        (void)cursor_take_until(&cursor, ":");
        cursor_expect(&cursor, ":");
    }
    words = cursor_take_until(&cursor, ":");
    return cursor.is_failed || words.len == 0 ? text : words;
}

bool tls_reason_of_exim_dane(struct span name, enum result_type *type_out)
{
    static const enum result_type TYPES[] = {RESULT_DNSSEC_INVALID, RESULT_DANE_REQUIRED,
                                             RESULT_VALIDATION_FAILURE, RESULT_STARTTLS_NOT_SUPPORTED};

    for (size_t i = 0; i < ARRAY_COUNT(TYPES); i++)
        if (span_is(name, result_type_name(TYPES[i]))) {
            *type_out = TYPES[i];
            return true;
        }
    return false;
}

void tls_reason_settle_expiry(struct tls_reason *reason, int64_t not_after_s, int64_t now_s)
{
    if (!reason->may_be_expired || not_after_s == 0)
        return;
    reason->may_be_expired = false;
    if (not_after_s < now_s) {
        reason->result_type = RESULT_CERTIFICATE_EXPIRED;
        reason->reason.len = 0;
    } else {
        reason->result_type = RESULT_CERTIFICATE_NOT_TRUSTED;
    }
}
