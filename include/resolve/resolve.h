/* SPDX-License-Identifier: MIT */
/*
 * resolve.h - ask the DNS many things at once.
 *
 * In:      names, each with a callback.
 * Out:     for each one answer of three kinds: found, none, temporary.  All RRs are kept: what several of them
 *          mean is the caller's decision (tlsrpt_record_choose).
 * Source:  RFC 8460 section 3 (R1, R2, R12, R13), RFC 5321 section 5.1 and RFC 7505 for MX.
 * Limits:  RESOLVE_IN_FLIGHT questions at once, RESOLVE_DEADLINE_MS for each; RESOLVE_SERVERS_MAX servers.
 *
 * A name is asked exactly as given, as an absolute name: no search list, no host file, no parent domain,
 * nothing from the environment.  A truncated answer is asked for again over TCP.  One thread only.
 */
#ifndef RESOLVE_RESOLVE_H
#define RESOLVE_RESOLVE_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/cursor.h"
#include "base/err.h"
#include "model/address.h"
#include "resolve/dns_reply.h"

#define RESOLVE_IN_FLIGHT   200
#define RESOLVE_TIMEOUT_MS  1500 /* of the first try at each server; the second waits twice as long */
#define RESOLVE_TRIES       2
#define RESOLVE_DEADLINE_MS 8000 /* of one question, over all tries and servers */
#define RESOLVE_SERVERS_MAX 8
#define RESOLVE_SOCKETS_MAX 900 /* of the 1024 descriptors that a process has by default */

struct resolver;

struct resolve_limits {
    unsigned in_flight;
    int timeout_ms;
    int tries;
    int deadline_ms;
};

enum resolve_kind {
    RESOLVE_TLSRPT,    /* TXT RRs of _smtp._tls.<name> (R1) */
    RESOLVE_TXT,       /* TXT RRs of the name itself */
    RESOLVE_ADDRESSES, /* A and AAAA of the name */
    RESOLVE_MX,        /* mail hosts of the name, in the order to try them */
    RESOLVE_TLSA,      /* TLSA RRs of _25._tcp.<name> that SMTP can use; is_authentic */
    RESOLVE_ROOT,      /* the root's SOA; its is_authentic says whether the resolver validates (name: any) */
};

enum resolve_result {
    RESOLVE_FOUND,
    RESOLVE_NONE,      /* the DNS says that there is none */
    RESOLVE_TEMPORARY, /* no answer that can be relied on: ask again later, conclude nothing (R12) */
};

/* Of the lists only that of the question's kind is filled. */
struct resolve_answer {
    enum resolve_result result;
    const char *name;   /* as it was asked */
    const char *reason; /* RESOLVE_TEMPORARY: why, for people; else "" */
    struct span *txts;  /* each RR's strings joined (R2) */
    size_t txt_count;
    struct address *addresses; /* IPv6 first */
    size_t address_count;
    struct mx_host *mx_hosts;
    size_t mx_count;
    size_t tlsa_count;
    bool is_authentic;   /* RESOLVE_TLSA, _ROOT: the resolver validated the answer, also that there is none */
    bool is_implicit_mx; /* RESOLVE_FOUND: there is no MX, so mx_hosts is the name itself */
    bool is_null_mx;     /* RESOLVE_NONE: the domain says that it takes no mail (RFC 7505) */
};

/* answer and all it points to live until the callback returns.  It may call resolve_add. */
typedef void resolve_callback_fn(void *context, const struct resolve_answer *answer);

/*
 * servers: "192.0.2.1:53", "[2001:db8::1]:53", the port may be left out; none: the system's.  limits may be
 * NULL: the constants above.  Free with resolve_close.
 * ST_CONFIG  a server is no address, or there are too many
 * ST_NOMEM
 * ST_IO
 */
MUST_CHECK enum status resolve_open(const char *const *servers, size_t server_count,
                                    const struct resolve_limits *limits, struct resolver **resolver_out,
                                    struct err *err);

/* Pending callbacks are not called.  Accepts NULL, sets it to NULL. */
void resolve_close(struct resolver **resolver);

/*
 * Queue a question; nothing is sent yet.  callback is called exactly once, from resolve_run.
 * ST_SYNTAX  not a domain name
 * ST_RANGE   too long
 * ST_NOMEM
 */
MUST_CHECK enum status resolve_add(struct resolver *resolver, enum resolve_kind kind, const char *name,
                                   resolve_callback_fn *callback, void *context, struct err *err);

/*
 * Ask all that is queued and call every callback.  When *stop (may be NULL) becomes true, the rest is
 * answered RESOLVE_TEMPORARY at once.
 */
void resolve_run(struct resolver *resolver, const volatile sig_atomic_t *stop);

/* True while a question is owed its callback. */
bool resolve_is_busy(const struct resolver *resolver);

/* Send what is queued and wait once, at most max_wait_ms, for the network; callbacks as in resolve_run. */
void resolve_step(struct resolver *resolver, int max_wait_ms);

/*
 * The same for a caller that waits for other things too: poll fds (at most RESOLVE_SOCKETS_MAX) for at most *wait_ms_out
 * (-1: nothing is asked), then let the resolver work on those that are ready.  Callbacks are called from both.
 */
size_t resolve_prepare(struct resolver *resolver, struct pollfd *fds_out, int *wait_ms_out);
void resolve_process(struct resolver *resolver, const struct pollfd *fds, size_t count);

/*
 * One question, answered on return; nothing else may be queued.  *answer_out lives as long as arena.
 * Statuses as resolve_add.
 */
MUST_CHECK enum status resolve_one(struct resolver *resolver, enum resolve_kind kind, const char *name,
                                   struct arena *arena, struct resolve_answer *answer_out, struct err *err);

#endif
