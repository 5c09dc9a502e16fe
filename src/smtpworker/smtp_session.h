/* SPDX-License-Identifier: MIT */
/*
 * smtp_session.h - one SMTP session that carries a batch of messages; the only place that knows libesmtp.
 *
 * In:     a job: where to, how, and the messages.
 * Out:    progress and delivery results through hooks, as they come; how the session ended.
 * Source: RFC 5321, 3207 (STARTTLS), 2920, 3030, 4954; libesmtp 1.1.0.
 * Limits: it blocks as long as the server likes: run it in a process of its own that is killed at a deadline, once
 *         per process (libesmtp is not safe for a second TLS session).  SIGPIPE must be ignored.
 */
#ifndef SMTPWORKER_SMTP_SESSION_H
#define SMTPWORKER_SMTP_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "deliver/smtp_wire.h"
#include "model/delivery_result.h"

#define SMTP_SESSION_SECRET_MAX 255 /* bytes of user and of password: libesmtp copies them unchecked */

struct smtp_session_message {
    uint64_t id;
    const char *envelope_from;
    const char *recipient;
    const char *bytes;
    size_t len;
};

struct smtp_session_job {
    const char *host;
    uint16_t port;
    const char *address; /* connect to this one only; "": any of host's */
    const char *ehlo_name;
    enum smtp_tls tls;
    const char *ca_file; /* SMTP_TLS_REQUIRE; "": the system's */
    const char *user;    /* "": no AUTH; else tls must be SMTP_TLS_REQUIRE */
    const char *password;
    long step_timeout_ms;
    int64_t mailing_ms; /* begin no further mail after so long a session */
    const struct smtp_session_message *messages;
    size_t message_count;
};

struct smtp_session_hooks {
    void *context;
    void (*progress)(void *context, enum smtp_progress progress);
    void (*result)(void *context, uint64_t id,
                   const struct delivery_result *result); /* at most once a message */
    /* The session must not go on, and libesmtp has no way to stop it: end the process.  Does not return. */
    void (*stop)(void *context, const struct smtp_wire_end *end);
};

/*
 * Run the session; *end_out (its text lives until the next call) applies to the messages without a result.  A
 * message whose addresses are not allowed in SMTP commands (a line end) is given up alone.
 * ST_CONFIG    the job must not be sent (host with a line end, secret too long, AUTH without TLS)
 * ST_INTERNAL  OpenSSL gave no context
 * ST_NOMEM
 */
MUST_CHECK enum status smtp_session_run(const struct smtp_session_job *job,
                                        const struct smtp_session_hooks *hooks, struct smtp_wire_end *end_out,
                                        struct err *err);

#endif
