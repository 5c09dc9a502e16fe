/* SPDX-License-Identifier: MIT */
/*
 * outcome.h - what became of one attempt to deliver one report to one destination.  Never a boolean: the
 * destination took it, or it may take it later, or it never will.
 *
 * Limits: text is printable ASCII (the far side's words, made harmless), cut to OUTCOME_TEXT_MAX - 1 bytes.
 */
#ifndef MODEL_OUTCOME_H
#define MODEL_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define OUTCOME_TEXT_MAX 256

enum outcome_kind {
    OUTCOME_DELIVERED, /* the destination took responsibility */
    OUTCOME_TRY_LATER, /* it did not, or did not say so; the same bytes again later */
    OUTCOME_GIVE_UP,   /* it will never take it */
};

/* How far the attempt came. */
enum outcome_stage {
    OUTCOME_AT_START,    /* before any connection: our own trouble, or a rule of ours */
    OUTCOME_AT_GUARD,    /* the address or port is not one that a stranger may send us to */
    OUTCOME_AT_RESOLVE,  /* the destination's name */
    OUTCOME_AT_CONNECT,  /* TCP */
    OUTCOME_AT_TLS,      /* STARTTLS or the handshake */
    OUTCOME_AT_GREETING, /* SMTP: greeting, EHLO, AUTH */
    OUTCOME_AT_MAIL,     /* SMTP: MAIL FROM */
    OUTCOME_AT_RCPT,     /* SMTP: RCPT TO */
    OUTCOME_AT_DATA,     /* SMTP: the message, up to the answer after its end */
    OUTCOME_AT_HTTP,     /* HTTP: request and status */
    OUTCOME_STAGE_COUNT,
};

struct outcome {
    enum outcome_kind kind;
    enum outcome_stage stage;
    int code;              /* SMTP reply code or HTTP status; 0 if none came */
    int64_t retry_after_s; /* the far side asked not to be tried sooner; 0: it did not say */
    bool is_in_doubt;      /* all bytes went out, no answer came: it may have been taken */
    char text[OUTCOME_TEXT_MAX];
};

/* Fill outcome; what the format gives is cut and made printable. */
void outcome_set(struct outcome *outcome, enum outcome_kind kind, enum outcome_stage stage, int code,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/* All bytes went out and no answer came: mark it, and say so at the end of its text. */
void outcome_put_in_doubt(struct outcome *outcome);

/* "delivered", "try-later", "give-up"; "connect", "tls", ... */
const char *outcome_kind_name(enum outcome_kind kind);
const char *outcome_stage_name(enum outcome_stage stage);

#endif
