/* SPDX-License-Identifier: MIT */
/*
 * smtp_wire.h - the protocol between tlsrpt-gen and its worker tlsrpt-gen-smtp.
 *
 * A frame is a length (4 bytes, big-endian, of what follows the type), a type (1 byte) and a payload.  In a
 * payload numbers are big-endian and a text is a length (4 bytes) and its bytes.
 *
 *   to the worker      settings, message ..., go
 *   from the worker    progress ..., result ... (each as soon as it is known), end
 *
 * Source: none, it is ours.
 * Limits: SMTP_WIRE_FRAME_MAX bytes a frame; both sides treat the other's bytes as hostile: a frame that is
 *         too long, of an unknown type, cut short, or has bytes left over is broken.
 */
#ifndef DELIVER_SMTP_WIRE_H
#define DELIVER_SMTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/strbuf.h"
#include "model/delivery_result.h"

#define SMTP_WIRE_FRAME_MAX (64u << 20)

enum smtp_tls {
    SMTP_TLS_OPPORTUNISTIC, /* if the server offers it; any certificate (RFC 8460 section 3, R48) */
    SMTP_TLS_REQUIRE,       /* with a good certificate, else nothing is sent */
    SMTP_TLS_OFF,
    SMTP_TLS_COUNT,
};

/* How far a session has come; the worker reports each step. */
enum smtp_progress {
    SMTP_PROGRESS_NONE,
    SMTP_PROGRESS_CONNECTED,
    SMTP_PROGRESS_TLS_BEGUN, /* STARTTLS was sent */
    SMTP_PROGRESS_TLS_UP,
    SMTP_PROGRESS_MAILING, /* the first MAIL FROM was sent: the session itself works */
    SMTP_PROGRESS_COUNT,
};

enum smtp_wire_type {
    SMTP_WIRE_SETTINGS = 'S',
    SMTP_WIRE_MESSAGE = 'M',
    SMTP_WIRE_GO = 'G',
    SMTP_WIRE_PROGRESS = 'P',
    SMTP_WIRE_RESULT = 'O',
    SMTP_WIRE_END = 'E',
};

/* One SMTP session.  Spans are borrowed from the payload. */
struct smtp_wire_settings {
    struct span host; /* name or IPv4 address */
    uint16_t port;
    struct span address; /* connect to this address only; empty: to any address of host */
    struct span ehlo_name;
    enum smtp_tls tls;
    struct span ca_file; /* empty: the system's */
    struct span user;    /* empty: no AUTH */
    struct span password;
    uint32_t step_timeout_ms; /* for each answer */
    uint32_t mailing_ms; /* begin no further mail after so long a session: one that is cut may arrive twice */
};

struct smtp_wire_message {
    uint64_t id;
    struct span envelope_from;
    struct span recipient;
    struct span bytes; /* CRLF lines, exactly one From, To, Date and Message-ID */
};

struct smtp_wire_result {
    uint64_t id;
    struct delivery_result result;
};

/*
 * How the session ended; the text is for messages that got no result of their own.  DELIVERY_AT_START after the first
 * mail: mailing_ms was over, and they were not tried.
 */
struct smtp_wire_end {
    enum delivery_stage stage;
    uint32_t code;
    struct span text;
};

/* Append one frame; if it is too long or memory is out, out fails. */
void smtp_wire_put_settings(struct strbuf *out, const struct smtp_wire_settings *settings);
void smtp_wire_put_message(struct strbuf *out, const struct smtp_wire_message *message);
void smtp_wire_put_go(struct strbuf *out);
void smtp_wire_put_progress(struct strbuf *out, enum smtp_progress progress);
void smtp_wire_put_result(struct strbuf *out, uint64_t id, const struct delivery_result *result);
void smtp_wire_put_end(struct strbuf *out, const struct smtp_wire_end *end);

enum smtp_wire_found {
    SMTP_WIRE_FRAME,  /* a whole frame */
    SMTP_WIRE_MORE,   /* only its beginning */
    SMTP_WIRE_BROKEN, /* not a frame of this protocol */
};

/* The first frame in bytes[0..len): its type, its payload (borrowed) and how many bytes it takes. */
enum smtp_wire_found smtp_wire_find(const void *bytes, size_t len, enum smtp_wire_type *type_out,
                                    struct span *payload_out, size_t *used_out);

/* Read the payload of a frame of that type; false (outputs untouched) if it is broken. */
MUST_CHECK bool smtp_wire_read_settings(struct span payload, struct smtp_wire_settings *settings_out);
MUST_CHECK bool smtp_wire_read_message(struct span payload, struct smtp_wire_message *message_out);
MUST_CHECK bool smtp_wire_read_progress(struct span payload, enum smtp_progress *progress_out);
MUST_CHECK bool smtp_wire_read_result(struct span payload, struct smtp_wire_result *result_out);
MUST_CHECK bool smtp_wire_read_end(struct span payload, struct smtp_wire_end *end_out);

#endif
