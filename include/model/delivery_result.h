/* SPDX-License-Identifier: MIT */
/*
 * delivery_result.h - the result of one attempt to deliver one report to one destination.  Never a boolean: the
 * destination took it, or it may take it later, or it never will.
 *
 * Limits: text is printable ASCII (the far side's words, made harmless), cut to DELIVERY_RESULT_TEXT_MAX - 1 bytes.
 */
#ifndef MODEL_DELIVERY_RESULT_H
#define MODEL_DELIVERY_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define DELIVERY_RESULT_TEXT_MAX 512

enum delivery_result_kind {
    DELIVERY_RESULT_DELIVERED, /* the destination took responsibility */
    DELIVERY_RESULT_TRY_LATER, /* it did not, or did not say so; the same bytes again later */
    DELIVERY_RESULT_GIVE_UP,   /* it will never take it */
};

/* How far the attempt came. */
enum delivery_stage {
    DELIVERY_AT_START,          /* before any connection: our own trouble, or a rule of ours */
    DELIVERY_AT_ADDRESS_POLICY, /* the address or port is not one that a stranger may send us to */
    DELIVERY_AT_RESOLVE,        /* the destination's name */
    DELIVERY_AT_CONNECT,        /* TCP */
    DELIVERY_AT_TLS,            /* STARTTLS or the handshake */
    DELIVERY_AT_GREETING,       /* SMTP: greeting, EHLO, AUTH */
    DELIVERY_AT_MAIL,           /* SMTP: MAIL FROM */
    DELIVERY_AT_RCPT,           /* SMTP: RCPT TO */
    DELIVERY_AT_DATA,           /* SMTP: the message, up to the answer after its end */
    DELIVERY_AT_HTTP,           /* HTTP: request and status */
    DELIVERY_STAGE_COUNT,
};

struct delivery_result {
    enum delivery_result_kind kind;
    enum delivery_stage stage;
    int code;              /* SMTP reply code or HTTP status; 0 if none came */
    int64_t retry_after_s; /* the far side asked not to be tried sooner; 0: it did not say */
    bool is_untried;       /* the session ended before this mail's turn: it is not the mail's fault */
    bool is_in_doubt;      /* all bytes went out, no answer came: it may have been taken */
    char text[DELIVERY_RESULT_TEXT_MAX];
};

/* Fill result; the formatted text is cut and made printable. */
void delivery_result_set(struct delivery_result *result, enum delivery_result_kind kind,
                         enum delivery_stage stage, int code, const char *format, ...) PRINTF_LIKE(5, 6);

/* All bytes went out and no answer came: mark it, and say so at the end of its text. */
void delivery_result_put_in_doubt(struct delivery_result *result);

/* "connect", "tls", ... */
const char *delivery_stage_name(enum delivery_stage stage);

#endif
