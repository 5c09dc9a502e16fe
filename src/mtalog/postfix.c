/* SPDX-License-Identifier: MIT */
/*
 * Postfix's part of mail.log.  PREFIX is "STAMP HOST INSTANCE/smtp[PID]: " (also tlsproxy and qmgr); what
 * matters is
 *
 *   CLASS " TLS connection established to " PEER ": " ..            a session with TLS
 *   [ "server " | "CA " ] "certificate verification failed for " PEER ": " REASON
 *   "SSL_connect error to " PEER ": " TEXT                          a handshake that failed
 *   "warning: TLS library problem: error:" ..                       OpenSSL's text for it
 *   QUEUEID ": " TEXT                                               Postfix gives up this MX and tries another
 *   QUEUEID ": to=<" ADDRESS ">" *( ", " NAME "=" VALUE ) ", status=" WORD " (" TEXT ")"
 *   "warning: TLS policy lookup for " DOMAIN "/" HOST ": TLSA lookup error for " ..
 *   "TLSRPT: status=" WORD ", domain=" DOMAIN ", receiving_mx=" HOST "[" IP "]" ..       Postfix >= 3.10
 *   PEER = HOST "[" IP "]:" PORT
 *
 * One smtp process handles one delivery at a time, so its process id connects the lines.  Sessions without a
 * recipient wait in their process's slot; the next "to=" of that process closes them all: its domain is theirs,
 * and for the host that it names, its TEXT decides whether the session failed after all.  A TEXT about TLS
 * without a waiting session is a session of its own (without STARTTLS there is no other line), once for each
 * attempt.
 *
 * "TLSRPT:" lines are exact: their results are emitted at once, and of a host that writes them nothing else is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fnv1a.h"
#include "mtalog/slots.h"
#include "postfix_grammar.h"
#include "reader.h"
#include "text.h"

#define SESSIONS_MAX     4
#define SWEEP_S          60
#define PLUGIN_S         3600 /* a plug-in's word about a domain holds so long */
#define PLUGIN_DOMAINS   4096
#define IGNORED_MESSAGES 4096
#define PROXIED_MAX      256

/* A session that has no recipient yet. */
struct waiting_session {
    struct kept_host host;
    struct kept_ip ip;
    bool is_verified;
    bool awaits_words; /* OpenSSL's words come in the next line */
    struct kept_verdict verdict;
};

/* What was said about a certificate before its session stood. */
struct certificate_note {
    struct kept_host host;
    struct kept_ip ip;
    struct kept_verdict verdict;
};

struct process {
    struct session_slot slot;
    uint64_t begin_offset;
    int64_t last_s;
    uint64_t attempt; /* of the last "to=" line, if its TEXT would emit the session again; 0: it would not */
    uint8_t count;
    bool has_note;
    struct certificate_note note;
    struct waiting_session waiting[SESSIONS_MAX];
};

/* The last word of a policy plug-in about a domain. */
struct plugin_word {
    struct session_slot slot;
    int64_t last_s;
    enum policy_type policy;
};

/* What tlsproxy logged about a certificate; smtp logs the session. */
struct proxied {
    struct session_slot slot;
    uint64_t begin_offset;
    int64_t last_s;
    struct certificate_note note;
};

struct postfix {
    struct emitter *emitter;
    struct slots processes;
    struct slots plugin_words; /* struct plugin_word */
    struct slots ignored;      /* struct session_slot: mail from an ignored sender */
    struct slots proxied;
    uint64_t tlsrpt_hosts[MTALOG_MEMORY_WORDS]; /* hashes of hosts that write TLSRPT lines; 0: none */
    uint64_t offset;
    int64_t swept_minute;
    /* where this minute's and the last one's first line about a plug-in or an ignored sender began */
    int64_t hint_minute;
    uint64_t hint_offset, last_hint_offset;
};

/* The current line. */
struct line {
    struct syslog_line syslog;
    struct span stamp;
    int64_t utc_s;
};

static const struct span NOTHING = {"", 0};

/* ---- slots ---- */

static uint64_t key_of(const struct slots *slots, const struct line *line, struct span name)
{
    return slots_key(slots, line->syslog.host, line->syslog.tag, name);
}

static bool read_time(struct postfix *postfix, struct line *line)
{
    return stamp_parse(&postfix->emitter->stamps, line->stamp, &line->utc_s);
}

/*
 * Lines before a session's first one may change its result; so a replay starts at these lines, if there were any
 * in this minute or the one before.
 */
static uint64_t hinted_offset(const struct postfix *postfix, int64_t utc_s, uint64_t offset)
{
    bool is_this = postfix->hint_minute == utc_s / SWEEP_S;
    bool is_last = postfix->hint_minute == utc_s / SWEEP_S - 1;
    uint64_t hint = is_this ? postfix->last_hint_offset : is_last ? postfix->hint_offset : UINT64_MAX;

    return hint < offset ? hint : offset;
}

static void add_hint(struct postfix *postfix, int64_t utc_s)
{
    int64_t minute = utc_s / SWEEP_S;

    if (postfix->hint_minute == minute)
        return;
    postfix->last_hint_offset = postfix->hint_minute == minute - 1 ? postfix->hint_offset : postfix->offset;
    postfix->hint_offset = postfix->offset;
    postfix->hint_minute = minute;
}

static bool is_open(const struct process *process)
{
    return process->count > 0 || process->has_note || process->attempt != 0;
}

static struct process *find_process(const struct postfix *postfix, const struct line *line)
{
    return (struct process *)(void *)slots_find(&postfix->processes,
                                                key_of(&postfix->processes, line, line->syslog.pid));
}

static struct process *get_process(struct postfix *postfix, const struct line *line)
{
    struct process *process = (struct process *)(void *)slots_get(
        &postfix->processes, key_of(&postfix->processes, line, line->syslog.pid));

    if (!is_open(process))
        process->begin_offset = hinted_offset(postfix, line->utc_s, postfix->offset);
    process->last_s = line->utc_s;
    return process;
}

static void count_evicted(void *context, struct session_slot *slot)
{
    struct postfix *postfix = context;

    if (((struct process *)(void *)slot)->count > 0)
        postfix->emitter->counts.evicted++;
}

/* A session that is open for so long gets no recipient: its process ended, or lines are missing in the log. */
static void sweep(struct postfix *postfix, int64_t utc_s)
{
    struct session_slot *slot;

    if (utc_s / SWEEP_S == postfix->swept_minute)
        return;
    postfix->swept_minute = utc_s / SWEEP_S;
    for (slot = slots_oldest(&postfix->processes); slot != NULL;) {
        struct process *process = (struct process *)(void *)slot;

        slot = slots_next(&postfix->processes, slot);
        if (utc_s - process->last_s > SWEEP_S)
            process->attempt = 0;
        if (utc_s - process->last_s > MTALOG_OPEN_S)
            slots_remove(&postfix->processes, &process->slot);
    }
    for (slot = slots_oldest(&postfix->proxied); slot != NULL;) {
        struct proxied *proxied = (struct proxied *)(void *)slot;

        slot = slots_next(&postfix->proxied, slot);
        if (utc_s - proxied->last_s > SWEEP_S)
            slots_remove(&postfix->proxied, &proxied->slot);
    }
}

/* ---- hosts that write TLSRPT lines ---- */

/* It must be the same in the next process; the names are those of our own hosts. */
static uint64_t host_hash(struct span host)
{
    uint64_t hash = fnv1a(FNV1A_START, host.at, host.len);

    return hash != 0 ? hash : 1;
}

static bool writes_tlsrpt(const struct postfix *postfix, struct span host)
{
    uint64_t hash = 0;

    if (postfix->tlsrpt_hosts[0] == 0)
        return false;
    hash = host_hash(host);
    for (size_t i = 0; i < MTALOG_MEMORY_WORDS; i++)
        if (postfix->tlsrpt_hosts[i] == hash)
            return true;
    return false;
}

static void remember_tlsrpt(struct postfix *postfix, struct span host)
{
    if (writes_tlsrpt(postfix, host))
        return;
    memmove(postfix->tlsrpt_hosts + 1, postfix->tlsrpt_hosts,
            sizeof postfix->tlsrpt_hosts - sizeof(uint64_t));
    postfix->tlsrpt_hosts[0] = host_hash(host);
}

/* ---- emitting ---- */

static enum policy_type plugin_says(const struct postfix *postfix, struct span domain, int64_t utc_s)
{
    uint64_t key = slots_key(&postfix->plugin_words, domain, NOTHING, NOTHING);
    const struct plugin_word *word =
        (const struct plugin_word *)(const void *)slots_find(&postfix->plugin_words, key);

    return word != NULL && utc_s - word->last_s <= PLUGIN_S ? word->policy : POLICY_NO_POLICY_FOUND;
}

/* Postfix >= 3.11 names the level: dane, dane-only, half-dane; "!" and "?" around it say how it went. */
static bool is_dane_level(struct span tls)
{
    return tls.len > 0 && memmem(tls.at, tls.len, "dane", 4) != NULL; /* no text has no address */
}

/*
 * The policy that a session was held against.  What is not said is not invented: a handshake that breaks, or
 * a certificate that nobody verified, would look the same without a policy.
 */
static enum policy_type policy_of(const struct postfix *postfix, struct span domain,
                                  const struct waiting_session *session, struct span tls, int64_t utc_s)
{
    enum policy_type said = plugin_says(postfix, domain, utc_s);
    const struct kept_verdict *verdict = &session->verdict;
    bool was_mandatory = verdict->is_failed ? verdict->result_type != RESULT_VALIDATION_FAILURE ||
                                                  said != POLICY_NO_POLICY_FOUND
                                            : session->is_verified;

    if (verdict->is_dane || is_dane_level(tls))
        return POLICY_TLSA;
    if (said == POLICY_NO_POLICY_FOUND)
        said = postfix->emitter->settings->mandatory_tls;
    return was_mandatory ? said : POLICY_NO_POLICY_FOUND;
}

static struct log_session make_session(const struct postfix *postfix, const struct line *line,
                                       struct span domain, struct span tls,
                                       const struct waiting_session *waiting)
{
    return (struct log_session){.domain = domain,
                                .mx = host_span(&waiting->host),
                                .receiving_ip = ip_span(&waiting->ip),
                                .policy = policy_of(postfix, domain, waiting, tls, line->utc_s),
                                .verdict = waiting->verdict.is_failed ? &waiting->verdict : NULL,
                                .utc_s = line->utc_s};
}

static enum status emit(struct postfix *postfix, const struct line *line, struct span domain, struct span tls,
                        const struct waiting_session *waiting)
{
    const struct log_session session = make_session(postfix, line, domain, tls, waiting);

    return emitter_emit(postfix->emitter, &session);
}

/* ---- sessions without a recipient ---- */

static bool is_peer(const struct kept_host *host, const struct kept_ip *ip, struct span other_host,
                    struct span other_ip)
{
    return span_equal(ip_span(ip), other_ip) && span_equal_folded(host_span(host), other_host);
}

/* A new waiting session; the oldest is given up when there are too many. */
static struct waiting_session *add_waiting(struct postfix *postfix, struct process *process, struct span host,
                                           struct span ip)
{
    struct waiting_session *waiting;

    if (process->count == SESSIONS_MAX) {
        memmove(process->waiting, process->waiting + 1, --process->count * sizeof process->waiting[0]);
        postfix->emitter->counts.ambiguous++;
    }
    waiting = &process->waiting[process->count++];
    memset(waiting, 0, sizeof *waiting);
    keep_host(&waiting->host, host);
    keep_ip(&waiting->ip, ip);
    return waiting;
}

static struct waiting_session *last_waiting(struct process *process)
{
    return process != NULL && process->count > 0 ? &process->waiting[process->count - 1] : NULL;
}

static uint64_t proxied_key(const struct postfix *postfix, const struct line *line, struct span ip)
{
    return slots_key(&postfix->proxied, line->syslog.host, ip, NOTHING);
}

/* "certificate verification failed for PEER: REASON"; smtp's own, or tlsproxy's on its behalf. */
static void on_certificate(struct postfix *postfix, struct line *line, struct span rest, bool is_proxy)
{
    struct certificate_note *note;
    struct tls_reason reason;
    struct cursor cursor;
    struct span host, ip;

    cursor_init(&cursor, rest.at, rest.len);
    if (!postfix_take_peer(&cursor, &host, &ip) || !cursor_skip_word(&cursor, ": "))
        return;
    if (is_proxy) {
        struct proxied *proxied =
            (struct proxied *)(void *)slots_get(&postfix->proxied, proxied_key(postfix, line, ip));

        if (proxied->last_s == 0)
            proxied->begin_offset = postfix->offset;
        proxied->last_s = line->utc_s;
        note = &proxied->note;
    } else {
        struct process *process = get_process(postfix, line);

        if (process->has_note && is_peer(&process->note.host, &process->note.ip, host, ip))
            return; /* the first words are about the certificate itself */
        process->has_note = true;
        note = &process->note;
    }
    keep_host(&note->host, host);
    keep_ip(&note->ip, ip);
    tls_reason_of_certificate(rest_of(&cursor), &reason);
    keep_verdict(&note->verdict, &reason);
}

/* "CLASS TLS connection established to PEER: .." */
static void on_established(struct postfix *postfix, struct line *line, struct span rest, bool is_verified)
{
    struct cursor cursor;
    struct span host, ip;

    cursor_init(&cursor, rest.at, rest.len);
    if (!postfix_take_peer(&cursor, &host, &ip) || !cursor_skip_word(&cursor, ": "))
        return;
    add_waiting(postfix, get_process(postfix, line), host, ip)->is_verified = is_verified;
}

/* "SSL_connect error: WORDS" */
static void keep_handshake_reason(struct kept_reason *kept, struct span words)
{
    static const char BEGIN[] = "SSL_connect error: ";
    size_t len =
        words.len < SESSION_REASON_MAX - sizeof BEGIN ? words.len : SESSION_REASON_MAX - sizeof BEGIN;
    char text[SESSION_REASON_MAX];

    memcpy(text, BEGIN, sizeof BEGIN - 1);
    memcpy(text + sizeof BEGIN - 1, words.at, len);
    keep_reason(kept, (struct span){text, sizeof BEGIN - 1 + len});
}

/* "SSL_connect error to PEER: TEXT" */
static void on_handshake_error(struct postfix *postfix, struct line *line, struct span rest)
{
    struct tls_reason reason = {.result_type = RESULT_VALIDATION_FAILURE, .reason = NOTHING};
    struct waiting_session *waiting;
    struct cursor cursor;
    struct span host, ip;

    cursor_init(&cursor, rest.at, rest.len);
    if (!postfix_take_peer(&cursor, &host, &ip) || !cursor_skip_word(&cursor, ": "))
        return;
    waiting = add_waiting(postfix, get_process(postfix, line), host, ip);
    keep_verdict(&waiting->verdict, &reason);
    waiting->awaits_words = span_is(rest_of(&cursor), "-1");
    keep_handshake_reason(&waiting->verdict.reason, waiting->awaits_words ? NOTHING : rest_of(&cursor));
}

/* "warning: TLS library problem: error:.." right after "SSL_connect error to .. -1" */
static void on_library_words(struct postfix *postfix, const struct line *line, struct span rest)
{
    struct waiting_session *waiting = last_waiting(find_process(postfix, line));

    if (waiting == NULL || !waiting->awaits_words)
        return;
    waiting->awaits_words = false;
    keep_handshake_reason(&waiting->verdict.reason, tls_reason_openssl_words(rest));
}

/* ---- the end of an attempt ---- */

/* The certificate's fault, as smtp or tlsproxy logged it before; NULL if neither did. */
static const struct certificate_note *find_note(const struct postfix *postfix, const struct line *line,
                                                const struct process *process, struct span host,
                                                struct span ip)
{
    const struct proxied *proxied =
        (const struct proxied *)(const void *)slots_find(&postfix->proxied, proxied_key(postfix, line, ip));

    if (process != NULL && process->has_note && is_peer(&process->note.host, &process->note.ip, host, ip))
        return &process->note;
    if (proxied != NULL && is_peer(&proxied->note.host, &proxied->note.ip, host, ip) &&
        line->utc_s - proxied->last_s <= SWEEP_S)
        return &proxied->note;
    return NULL;
}

static void use_note(struct postfix *postfix, const struct line *line, const struct process *process,
                     struct waiting_session *waiting)
{
    const struct certificate_note *note =
        find_note(postfix, line, process, host_span(&waiting->host), ip_span(&waiting->ip));

    if (note != NULL)
        waiting->verdict = note->verdict;
}

/* TEXT says that TLS failed: so did the last session with that host; else it is a session of its own. */
static void apply_failure(struct postfix *postfix, const struct line *line, struct process *process,
                          struct span host, struct span ip, const struct tls_reason *reason,
                          bool needs_certificate)
{
    struct waiting_session *waiting = last_waiting(process);

    if (waiting == NULL || (host.len > 0 && !is_peer(&waiting->host, &waiting->ip, host, ip)))
        waiting = add_waiting(postfix, process, host, ip);
    if (waiting->verdict.is_failed)
        return; /* the library's own words are better */
    keep_verdict(&waiting->verdict, reason);
    if (needs_certificate)
        use_note(postfix, line, process, waiting);
}

/*
 * Recipients of one attempt have the first three of delays=a/b/c/d in common (d is measured for each).  True
 * if this process emitted this attempt already.
 */
static bool was_emitted(const struct postfix *postfix, struct process *process,
                        const struct postfix_recipient *recipient)
{
    struct span delays = recipient->delays;
    uint64_t attempt;

    while (delays.len > 0 && delays.at[delays.len - 1] != '/')
        delays.len--;
    attempt = slots_key(&postfix->processes, recipient->queue_id, recipient->ip, delays);
    if (process->attempt == attempt)
        return true;
    process->attempt = attempt;
    return false;
}

static enum status emit_waiting(struct postfix *postfix, const struct line *line, struct process *process,
                                const struct postfix_recipient *recipient)
{
    enum status status = ST_OK;

    for (size_t i = 0; i < process->count && status == ST_OK; i++) {
        const struct waiting_session *waiting = &process->waiting[i];
        bool is_last = is_peer(&waiting->host, &waiting->ip, recipient->host, recipient->ip);

        status = emit(postfix, line, recipient->domain, is_last ? recipient->tls : NOTHING, waiting);
    }
    process->count = 0;
    process->has_note = false;
    return status;
}

static bool is_ignored(const struct postfix *postfix, const struct line *line, struct span queue_id)
{
    return postfix->ignored.used > 0 &&
           slots_find(&postfix->ignored,
                      slots_key(&postfix->ignored, line->syslog.host, queue_id, NOTHING)) != NULL;
}

static enum status on_recipient(struct postfix *postfix, struct line *line, struct span queue_id,
                                struct span rest)
{
    struct postfix_recipient recipient = {.queue_id = queue_id,
                                          .domain = NOTHING,
                                          .host = NOTHING,
                                          .ip = NOTHING,
                                          .delays = NOTHING,
                                          .tls = NOTHING};
    struct process *process = find_process(postfix, line);
    struct tls_reason reason;
    bool needs_certificate;
    bool is_failure;

    if (!postfix_parse_recipient(rest, &recipient))
        return ST_OK;
    is_failure = tls_reason_of_postfix(recipient.text, &needs_certificate, &reason) && recipient.host.len > 0;
    if (process == NULL && !is_failure)
        return ST_OK;
    process = get_process(postfix, line);
    if (writes_tlsrpt(postfix, line->syslog.host) || is_ignored(postfix, line, queue_id)) {
        process->count = 0;
        process->has_note = false;
        return ST_OK;
    }
    if (process->count > 0 || !is_failure)
        process->attempt = 0;
    if (is_failure && was_emitted(postfix, process, &recipient))
        return ST_OK;
    if (is_failure)
        apply_failure(postfix, line, process, recipient.host, recipient.ip, &reason, needs_certificate);
    return emit_waiting(postfix, line, process, &recipient);
}

/* "QUEUEID: TEXT": the current session failed, another MX follows. */
static void on_give_up(struct postfix *postfix, struct line *line, struct span text)
{
    struct process *process = find_process(postfix, line);
    struct tls_reason reason;
    bool needs_certificate;

    if (!tls_reason_of_postfix(text, &needs_certificate, &reason))
        return;
    if (process == NULL)
        process = get_process(postfix, line);
    apply_failure(postfix, line, process, NOTHING, NOTHING, &reason, needs_certificate);
}

/* "DOMAIN/HOST: TLSA lookup error for HOST:PORT": DANE, but DNS gave nothing that could be believed. */
static enum status on_policy_lookup(struct postfix *postfix, struct line *line, struct span rest)
{
    struct waiting_session waiting = {
        .verdict = {.result_type = RESULT_DNSSEC_INVALID, .is_failed = true, .is_dane = true}};
    struct cursor cursor;
    struct span domain, host;

    cursor_init(&cursor, rest.at, rest.len);
    domain = take_until(&cursor, '/');
    cursor_expect(&cursor, "/");
    host = take_until(&cursor, ':');
    cursor_expect(&cursor, ": TLSA lookup error for ");
    if (cursor.is_failed || writes_tlsrpt(postfix, line->syslog.host))
        return ST_OK;
    keep_host(&waiting.host, host);
    return emit(postfix, line, domain, NOTHING, &waiting);
}

/* ---- Postfix's own TLSRPT lines ---- */

/* The session that the line is about does not wait for a recipient any more. */
static void forget_waiting(struct postfix *postfix, const struct line *line, struct waiting_session *session)
{
    struct process *process = find_process(postfix, line);
    struct waiting_session *waiting = last_waiting(process);
    struct span host = host_span(&session->host), ip = ip_span(&session->ip);
    const struct certificate_note *note = find_note(postfix, line, process, host, ip);

    session->verdict.is_dane = session->verdict.is_failed && note != NULL && note->verdict.is_dane;
    if (waiting != NULL && is_peer(&waiting->host, &waiting->ip, host, ip)) {
        session->is_verified = waiting->is_verified;
        process->count--;
    }
    if (process != NULL && note == &process->note)
        process->has_note = false;
}

static bool is_sts_only(enum result_type type)
{
    return type == RESULT_STS_POLICY_FETCH_ERROR || type == RESULT_STS_POLICY_INVALID ||
           type == RESULT_STS_WEBPKI_INVALID;
}

static enum status on_tlsrpt(struct postfix *postfix, struct line *line, struct span rest)
{
    struct waiting_session waiting = {.verdict = {.is_failed = false}};
    struct postfix_tlsrpt tlsrpt;
    struct log_session session;

    if (!postfix_parse_tlsrpt(rest, &tlsrpt))
        return ST_OK;
    if (tlsrpt.is_failed)
        keep_verdict(&waiting.verdict, &tlsrpt.reason);
    keep_host(&waiting.host, tlsrpt.host);
    keep_ip(&waiting.ip, tlsrpt.ip);
    remember_tlsrpt(postfix, line->syslog.host);
    forget_waiting(postfix, line, &waiting);
    session = make_session(postfix, line, tlsrpt.domain, NOTHING, &waiting);
    if (tlsrpt.is_failed && is_sts_only(tlsrpt.reason.result_type))
        session.policy = POLICY_STS;
    return emitter_emit(postfix->emitter, &session);
}

/* ---- policy plug-ins ---- */

static void on_plugin(struct postfix *postfix, struct line *line)
{
    struct plugin_word *word;
    struct span domain, policy;

    if (!postfix_parse_plugin(line->syslog.message, &domain, &policy) || !read_time(postfix, line))
        return;
    word = (struct plugin_word *)(void *)slots_get(
        &postfix->plugin_words, slots_key(&postfix->plugin_words, domain, NOTHING, NOTHING));
    add_hint(postfix, line->utc_s);
    word->last_s = line->utc_s;
    word->policy = span_is(policy, "secure") ? POLICY_STS
                   : begins(policy, "dane")  ? POLICY_TLSA
                                             : POLICY_NO_POLICY_FOUND;
}

/* ---- lines by program ---- */

/* "QUEUEID: from=<SENDER>, .."; written each time the message becomes active. */
static void on_qmgr(struct postfix *postfix, struct line *line)
{
    struct cursor cursor;
    struct span queue_id;

    if (postfix->emitter->settings->ignored_sender_count == 0)
        return;
    cursor_init(&cursor, line->syslog.message.at, line->syslog.message.len);
    queue_id = postfix_take_queue_id(&cursor);
    if (queue_id.len == 0 || !cursor_skip_word(&cursor, "from=") ||
        !emitter_is_ignored_sender(postfix->emitter, postfix_take_angle(&cursor)) ||
        !read_time(postfix, line))
        return;
    add_hint(postfix, line->utc_s);
    (void)slots_get(&postfix->ignored, slots_key(&postfix->ignored, line->syslog.host, queue_id, NOTHING));
}

/* False: the line does not begin with a queue id. */
static bool on_queue_line(struct postfix *postfix, struct line *line, enum status *status_out)
{
    struct cursor cursor;
    struct span queue_id;

    cursor_init(&cursor, line->syslog.message.at, line->syslog.message.len);
    queue_id = postfix_take_queue_id(&cursor);
    if (queue_id.len == 0)
        return false;
    *status_out = ST_OK;
    if (begins(rest_of(&cursor), "to=<"))
        *status_out = on_recipient(postfix, line, queue_id, rest_of(&cursor));
    else
        on_give_up(postfix, line, rest_of(&cursor));
    return true;
}

static enum status on_smtp(struct postfix *postfix, struct line *line)
{
    enum status status;
    struct span rest;
    bool is_verified;

    if (on_queue_line(postfix, line, &status))
        return status;
    if (postfix_parse_established(line->syslog.message, &rest, &is_verified)) {
        on_established(postfix, line, rest, is_verified);
        return ST_OK;
    }
    switch (postfix_kind_of(line->syslog.message, &rest)) {
    case POSTFIX_TLSRPT:
        return on_tlsrpt(postfix, line, rest);
    case POSTFIX_POLICY_LOOKUP:
        return on_policy_lookup(postfix, line, rest);
    case POSTFIX_HANDSHAKE_ERROR:
        on_handshake_error(postfix, line, rest);
        return ST_OK;
    case POSTFIX_CERTIFICATE:
        on_certificate(postfix, line, rest, false);
        return ST_OK;
    case POSTFIX_LIBRARY_WORDS:
        on_library_words(postfix, line, rest);
        return ST_OK;
    case POSTFIX_OTHER:
        break;
    }
    return ST_OK;
}

static enum status on_tlsproxy(struct postfix *postfix, struct line *line)
{
    struct span rest;
    enum postfix_kind kind = postfix_kind_of(line->syslog.message, &rest);

    if (kind == POSTFIX_TLSRPT)
        return on_tlsrpt(postfix, line, rest);
    if (kind == POSTFIX_CERTIFICATE)
        on_certificate(postfix, line, rest, true);
    return ST_OK;
}

/* The program's name after the last '/': "postfix/smtp", "postfix-out/relay/smtp". */
static struct span program_of(struct span tag)
{
    size_t at = tag.len;

    while (at > 0 && tag.at[at - 1] != '/')
        at--;
    return at > 0 ? behind(tag, at) : NOTHING;
}

static enum status postfix_feed(void *reader, struct span text, uint64_t offset)
{
    struct postfix *postfix = reader;
    size_t stamp_len = stamp_length(text);
    struct line line = {.stamp = {text.at, stamp_len}};
    struct span program;

    if (stamp_len == 0 || !syslog_split(behind(text, stamp_len), &line.syslog))
        return ST_OK;
    postfix->offset = offset;
    program = program_of(line.syslog.tag);
    if (span_is(program, "smtp")) {
        if (!read_time(postfix, &line))
            return ST_OK;
        sweep(postfix, line.utc_s);
        return on_smtp(postfix, &line);
    }
    if (span_is(program, "tlsproxy"))
        return read_time(postfix, &line) ? on_tlsproxy(postfix, &line) : ST_OK;
    if (span_is(program, "qmgr"))
        on_qmgr(postfix, &line);
    else if (span_is(line.syslog.tag, "postfix-tlspol"))
        on_plugin(postfix, &line);
    return ST_OK;
}

/* ---- the reader ---- */

/* Without its recipient nobody knows whose session it was. */
static enum status postfix_flush(void *reader)
{
    struct postfix *postfix = reader;

    for (struct session_slot *slot = slots_oldest(&postfix->processes); slot != NULL;
         slot = slots_oldest(&postfix->processes))
        slots_remove(&postfix->processes, slot);
    return ST_OK;
}

static uint64_t postfix_replay_offset(const void *reader, uint64_t next_offset)
{
    const struct postfix *postfix = reader;
    int64_t minute =
        postfix->hint_minute > postfix->swept_minute ? postfix->hint_minute : postfix->swept_minute;
    uint64_t offset = hinted_offset(postfix, minute * SWEEP_S, next_offset);

    for (struct session_slot *slot = slots_oldest(&postfix->processes); slot != NULL;
         slot = slots_next(&postfix->processes, slot)) {
        const struct process *process = (const struct process *)(const void *)slot;

        if (is_open(process) && process->begin_offset < offset)
            offset = process->begin_offset;
    }
    for (struct session_slot *slot = slots_oldest(&postfix->proxied); slot != NULL;
         slot = slots_next(&postfix->proxied, slot)) {
        const struct proxied *proxied = (const struct proxied *)(const void *)slot;

        if (proxied->begin_offset < offset)
            offset = proxied->begin_offset;
    }
    return offset;
}

static void postfix_get_memory(const void *reader, uint64_t words_out[MTALOG_MEMORY_WORDS])
{
    const struct postfix *postfix = reader;

    memcpy(words_out, postfix->tlsrpt_hosts, sizeof postfix->tlsrpt_hosts);
}

static void postfix_set_memory(void *reader, const uint64_t words[MTALOG_MEMORY_WORDS])
{
    struct postfix *postfix = reader;

    memcpy(postfix->tlsrpt_hosts, words, sizeof postfix->tlsrpt_hosts);
}

static void postfix_free(void *reader)
{
    struct postfix *postfix = reader;

    slots_done(&postfix->processes);
    slots_done(&postfix->plugin_words);
    slots_done(&postfix->ignored);
    slots_done(&postfix->proxied);
    free(postfix);
}

static bool init_slots(struct postfix *postfix, uint32_t most)
{
    const struct {
        struct slots *slots;
        size_t slot_size, clear_bytes;
        uint32_t capacity;
        slots_evict_fn *evict;
    } TABLES[] = {
        {&postfix->processes, sizeof(struct process), offsetof(struct process, note), MTALOG_PROCESSES_MAX,
         count_evicted},
        {&postfix->plugin_words, sizeof(struct plugin_word), sizeof(struct plugin_word), PLUGIN_DOMAINS,
         NULL},
        {&postfix->ignored, sizeof(struct session_slot), sizeof(struct session_slot), IGNORED_MESSAGES, NULL},
        {&postfix->proxied, sizeof(struct proxied), sizeof(struct proxied), PROXIED_MAX, NULL},
    };
    bool is_fine = true;

    for (size_t i = 0; i < ARRAY_COUNT(TABLES); i++) {
        uint32_t capacity = most != 0 && most < TABLES[i].capacity ? most : TABLES[i].capacity;

        is_fine = slots_init(TABLES[i].slots, TABLES[i].slot_size, TABLES[i].clear_bytes, capacity,
                             TABLES[i].evict, postfix) &&
                  is_fine;
    }
    return is_fine;
}

static void *postfix_new(struct emitter *emitter)
{
    struct postfix *postfix = calloc(1, sizeof *postfix);

    if (postfix == NULL)
        return NULL;
    postfix->emitter = emitter;
    if (!init_slots(postfix, emitter->settings->open_max)) {
        postfix_free(postfix);
        return NULL;
    }
    return postfix;
}

const struct reader_methods postfix_reader = {
    .new_reader = postfix_new,
    .free_reader = postfix_free,
    .feed = postfix_feed,
    .flush = postfix_flush,
    .replay_offset = postfix_replay_offset,
    .get_memory = postfix_get_memory,
    .set_memory = postfix_set_memory,
};
