/* SPDX-License-Identifier: MIT */
/*
 * session.h - inside mtalog: what the readers found out about one session, and how it becomes a session result.
 */
#ifndef MTALOG_SESSION_H
#define MTALOG_SESSION_H

#include "base/arena.h"
#include "model/tls_reason.h"
#include "mtalog/mtalog.h"
#include "stamp.h"

#define SESSION_HOST_MAX   253
#define SESSION_IP_MAX     45
#define SESSION_REASON_MAX 256

/* A text kept beyond its line; cut if too long. */
struct kept_host {
    uint8_t len;
    char text[SESSION_HOST_MAX + 2];
};

struct kept_ip {
    uint8_t len;
    char text[SESSION_IP_MAX];
};

struct kept_reason {
    uint16_t len;
    char text[SESSION_REASON_MAX];
};

/* A struct tls_reason that outlives its line. */
struct kept_verdict {
    enum result_type result_type;
    bool is_failed;
    bool is_dane;
    struct kept_reason reason;
};

void keep_host(struct kept_host *kept, struct span text);
void keep_ip(struct kept_ip *kept, struct span text);
void keep_reason(struct kept_reason *kept, struct span text);
void keep_verdict(struct kept_verdict *kept, const struct tls_reason *reason);

struct span host_span(const struct kept_host *kept);
struct span ip_span(const struct kept_ip *kept);
bool span_equal(struct span a, struct span b);
bool span_equal_folded(struct span a, struct span b); /* ASCII letters of either case are the same */

/* One session, ready to be emitted.  Empty spans: unknown. */
struct log_session {
    struct span domain;
    struct span mx;
    struct span receiving_ip;
    struct span sending_ip;
    enum policy_type policy;
    const struct kept_verdict *verdict; /* NULL: success */
    int64_t utc_s;
};

/* What both readers share. */
struct emitter {
    const struct mtalog_settings *settings;
    struct mtalog_counts counts;
    struct stamp_reader stamps;
    struct arena arena;
    struct err *err; /* of the call under way */
};

void emitter_init(struct emitter *emitter, const struct mtalog_settings *settings);
void emitter_done(struct emitter *emitter);

/*
 * Make a session result of it and hand it to the callback; an unusable domain is only counted.
 * ST_NOMEM  or the callback's status
 */
MUST_CHECK enum status emitter_emit(struct emitter *emitter, const struct log_session *session);

/* Is mail from this sender left out? */
bool emitter_is_ignored_sender(const struct emitter *emitter, struct span sender);

/* The domain of a mail address as logs write it; len 0 if there is none. */
struct span address_domain(struct span address);

#endif
