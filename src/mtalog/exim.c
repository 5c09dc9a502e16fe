/* SPDX-License-Identifier: MIT */
/*
 * Exim's mainlog.  A line that matters is STAMP [ "[" PID "]" ] ID REST, with REST one of
 *
 *   KIND ADDRESS *( " " FIELD ) [ ": " TEXT ]                  a recipient's result; KIND is => -> >> ** or ==
 *   "DANE attempt failed; TLS connection to " HOST " [" IP "]: " TEXT                          a failed session
 *   "TLS session: " TEXT ": delivering unencrypted to H=" HOST " [" IP "] (not in hosts_require_tls)"      also
 *   "H=" HOST " [" IP "]" [ ":" PORT ] ": " TEXT                             the same, and another MX is tried
 *   "[" IP "] SSL verify error: " ..                                    OpenSSL's text for the next failure
 *   "<= " SENDER ..
 *   "Completed"
 *
 * A session that worked is shown by X= in a recipient's line; it counts once for its connection (I=) and domain.
 * The lines of a failed session do not name the recipient, so the failure stays open:
 * 1. A recipient's line with the same host and address closes it: its domain and source are the session's.
 * 2. Lines of the same message with other hosts only say which domains it could be.
 * 3. When the message is done, a failure that can be only one domain's is emitted; any other is counted as
 *    ambiguous.
 */
#include <stdlib.h>
#include <string.h>

#include "exim_grammar.h"
#include "mtalog/slots.h"
#include "reader.h"
#include "text.h"

#define FAILURES_MAX 4
#define SEEN_MAX     16
#define SWEEP_S      60

enum attribution {
    ATTRIBUTION_UNKNOWN,
    ATTRIBUTION_ONE,
    ATTRIBUTION_MANY,
};

struct open_failure {
    struct kept_host host;
    struct kept_ip ip;
    struct kept_verdict verdict;
    int64_t utc_s;
    enum attribution attribution;
    struct kept_host domain; /* if ATTRIBUTION_ONE */
};

/* A connection that was emitted for a domain.  Without I= in the log several connections may have one key. */
struct emitted {
    uint64_t key;
    bool awaits_first; /* emitted for "**" or "=="; the "=>" of the same connection may follow */
};

/* One message that something is open about. */
struct message {
    struct session_slot slot;
    uint64_t begin_offset;
    int64_t last_s;
    bool is_ignored;
    uint8_t failure_count;
    uint8_t seen_count;
    struct emitted seen[SEEN_MAX];  /* newest last */
    struct kept_reason certificate; /* what OpenSSL said about it last */
    struct kept_ip certificate_ip;
    struct open_failure failures[FAILURES_MAX];
};

struct exim {
    struct emitter *emitter;
    struct slots messages;
    uint64_t offset; /* of the current line */
    int64_t swept_minute;
    enum status evict_status;
};

/* ---- emitting ---- */

static enum status emit(struct exim *exim, const struct exim_delivery *delivery, struct span domain,
                        const struct open_failure *failure)
{
    struct cursor cursor;
    struct log_session session = {.domain = domain,
                                  .mx = host_span(&failure->host),
                                  .receiving_ip = ip_span(&failure->ip),
                                  .policy = failure->verdict.is_dane ? POLICY_TLSA : POLICY_NO_POLICY_FOUND,
                                  .verdict = failure->verdict.is_failed ? &failure->verdict : NULL,
                                  .utc_s = failure->utc_s};

    if (delivery != NULL && delivery->interface.len > 0) {
        cursor_init(&cursor, delivery->interface.at, delivery->interface.len);
        session.sending_ip = exim_take_bracketed(&cursor);
        if (cursor.is_failed)
            session.sending_ip.len = 0;
    }
    return emitter_emit(exim->emitter, &session);
}

/* Emit what is certain about a message's open failures, and drop them. */
static enum status settle(struct exim *exim, struct message *message)
{
    enum status status = ST_OK;

    for (size_t i = 0; i < message->failure_count && status == ST_OK; i++) {
        struct open_failure *failure = &message->failures[i];

        if (failure->attribution == ATTRIBUTION_ONE)
            status = emit(exim, NULL, host_span(&failure->domain), failure);
        else
            exim->emitter->counts.ambiguous++;
    }
    message->failure_count = 0;
    return status;
}

static void settle_evicted(void *context, struct session_slot *slot)
{
    struct exim *exim = context;
    enum status status = settle(exim, (struct message *)(void *)slot);

    exim->emitter->counts.evicted++;
    if (exim->evict_status == ST_OK)
        exim->evict_status = status;
}

static uint64_t key_of_id(const struct exim *exim, struct span id)
{
    static const struct span NOTHING = {"", 0};

    return slots_key(&exim->messages, id, NOTHING, NOTHING);
}

static struct message *get_message(struct exim *exim, struct span id, int64_t utc_s)
{
    struct message *message = (struct message *)(void *)slots_get(&exim->messages, key_of_id(exim, id));

    if (message->last_s == 0) {
        message->begin_offset = exim->offset;
        message->certificate.len = 0;
    }
    message->last_s = utc_s;
    return message;
}

/* Close what was open for too long; only when the log's minute changes, so that a replay closes the same. */
static enum status sweep(struct exim *exim, int64_t utc_s)
{
    struct session_slot *slot = slots_oldest(&exim->messages);
    enum status status = ST_OK;

    if (utc_s / SWEEP_S == exim->swept_minute)
        return ST_OK;
    exim->swept_minute = utc_s / SWEEP_S;
    while (slot != NULL && status == ST_OK) {
        struct message *message = (struct message *)(void *)slot;

        slot = slots_next(&exim->messages, slot);
        if (utc_s - message->last_s <= MTALOG_OPEN_S)
            continue;
        status = settle(exim, message);
        slots_remove(&exim->messages, &message->slot);
    }
    return status;
}

/* ---- what a recipient's line does ---- */

/*
 * Was this connection emitted for this domain?  From now on it counts as emitted.  I= names a connection.  If it
 * is not logged, "=>" starts one, and other lines belong to a known one or start one.
 */
static bool was_emitted(const struct exim *exim, struct message *message,
                        const struct exim_delivery *delivery)
{
    struct span connection = delivery->interface.len > 0 ? delivery->interface : delivery->host;
    uint64_t key = slots_key(&exim->messages, delivery->ip, connection, delivery->domain);
    bool is_named = delivery->interface.len > 0;

    for (size_t i = 0; i < message->seen_count; i++)
        if (message->seen[i].key == key) {
            bool is_same = is_named || !delivery->is_first || message->seen[i].awaits_first;

            message->seen[i].awaits_first = message->seen[i].awaits_first && !delivery->is_first;
            return is_same;
        }
    if (message->seen_count == SEEN_MAX)
        memmove(message->seen, message->seen + 1, --message->seen_count * sizeof message->seen[0]);
    message->seen[message->seen_count++] = (struct emitted){.key = key, .awaits_first = !delivery->is_first};
    return false;
}

static bool is_failure_of(const struct open_failure *failure, const struct exim_delivery *delivery)
{
    if (delivery->host.len == 0) /* "DANE error: tlsa lookup DEFER" names no host in the recipient's line */
        return failure->verdict.is_dane && delivery->text.len > 0;
    return span_equal_folded(host_span(&failure->host), delivery->host) &&
           span_equal(ip_span(&failure->ip), delivery->ip);
}

static void note_domain(struct open_failure *failure, struct span domain)
{
    if (failure->attribution == ATTRIBUTION_UNKNOWN) {
        failure->attribution = ATTRIBUTION_ONE;
        keep_host(&failure->domain, domain);
    } else if (failure->attribution == ATTRIBUTION_ONE &&
               !span_equal_folded(host_span(&failure->domain), domain)) {
        failure->attribution = ATTRIBUTION_MANY;
    }
}

/* Steps 1 and 2 of the head comment.  *was_open_out: the line was about an open failure. */
static enum status close_failures(struct exim *exim, struct message *message,
                                  const struct exim_delivery *delivery, bool *was_open_out)
{
    enum status status = ST_OK;
    size_t kept = 0;

    *was_open_out = false;
    for (size_t i = 0; i < message->failure_count; i++) {
        struct open_failure *failure = &message->failures[i];

        if (status == ST_OK && is_failure_of(failure, delivery)) {
            *was_open_out = true;
            status = emit(exim, delivery, delivery->domain, failure);
            continue;
        }
        note_domain(failure, delivery->domain);
        if (kept != i)
            message->failures[kept] = *failure;
        kept++;
    }
    message->failure_count = (uint8_t)kept;
    return status;
}

static void begin_failure(struct open_failure *failure, const struct exim_delivery *delivery, int64_t utc_s)
{
    memset(failure, 0, offsetof(struct open_failure, domain));
    failure->domain.len = 0;
    keep_host(&failure->host, delivery->host);
    keep_ip(&failure->ip, delivery->ip);
    failure->utc_s = utc_s;
}

/* OpenSSL names the certificate's fault in a line of its own, just before. */
static void apply_certificate(struct message *message, struct span ip, struct kept_verdict *verdict)
{
    struct tls_reason reason;

    if (message->certificate.len == 0 || !span_equal(ip_span(&message->certificate_ip), ip))
        return;
    tls_reason_of_certificate((struct span){message->certificate.text, message->certificate.len}, &reason);
    reason.is_dane = reason.is_dane || verdict->is_dane;
    keep_verdict(verdict, &reason);
    message->certificate.len = 0;
}

static bool is_openssl_refusal(struct span reason)
{
    static const char WORDS[] = "certificate verify failed";

    return begins(reason, "(SSL_connect)") && memmem(reason.at, reason.len, WORDS, sizeof WORDS - 1) != NULL;
}

static void set_verdict(struct message *message, struct open_failure *failure,
                        const struct tls_reason *reason)
{
    keep_verdict(&failure->verdict, reason);
    if (is_openssl_refusal(reason->reason))
        apply_certificate(message, ip_span(&failure->ip), &failure->verdict);
}

/* reason NULL: the session worked. */
static enum status on_session(struct exim *exim, struct message *message,
                              const struct exim_delivery *delivery, const struct tls_reason *reason,
                              int64_t utc_s)
{
    struct open_failure session;

    if (delivery->is_continued || was_emitted(exim, message, delivery))
        return ST_OK;
    begin_failure(&session, delivery, utc_s);
    session.verdict.is_dane = delivery->is_dane;
    if (reason != NULL)
        set_verdict(message, &session, reason);
    return emit(exim, delivery, delivery->domain, &session);
}

static enum status on_delivery(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    struct exim_delivery delivery;
    struct tls_reason reason;
    struct message *message;
    bool was_open, is_failure;
    enum status status;

    exim_parse_delivery(rest, &delivery);
    is_failure = delivery.has_failed && !delivery.has_tls && tls_reason_of_exim(delivery.text, &reason);
    if (delivery.has_tls || is_failure)
        message = get_message(exim, id, utc_s);
    else
        message = (struct message *)(void *)slots_find(&exim->messages, key_of_id(exim, id));
    if (message == NULL || message->is_ignored || (delivery.host.len == 0 && !is_failure))
        return ST_OK;
    status = close_failures(exim, message, &delivery, &was_open);
    if (status != ST_OK || delivery.host.len == 0)
        return status;
    if (delivery.has_tls)
        return on_session(exim, message, &delivery, NULL, utc_s);
    if (was_open)
        (void)was_emitted(exim, message, &delivery);
    else if (is_failure)
        return on_session(exim, message, &delivery, &reason, utc_s);
    return ST_OK;
}

/* ---- lines about a failed session ---- */

static enum status open_failure(struct exim *exim, struct span id, struct span host, struct span ip,
                                const struct tls_reason *reason, int64_t utc_s)
{
    struct exim_delivery peer = {.host = host, .ip = ip};
    struct message *message = get_message(exim, id, utc_s);
    struct open_failure *failure;

    if (message->is_ignored)
        return ST_OK;
    if (message->failure_count == FAILURES_MAX) {
        exim->emitter->counts.ambiguous++;
        return ST_OK;
    }
    failure = &message->failures[message->failure_count++];
    begin_failure(failure, &peer, utc_s);
    set_verdict(message, failure, reason);
    return ST_OK;
}

/* "HOST [IP]: TEXT" */
static enum status on_dane_failure(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    struct tls_reason reason;
    struct cursor cursor;
    struct span host, ip;

    cursor_init(&cursor, rest.at, rest.len);
    host = exim_take_token(&cursor);
    ip = exim_take_bracketed(&cursor);
    cursor_expect(&cursor, ": ");
    if (cursor.is_failed)
        return ST_OK;
    tls_reason_of_exim_session(rest_of(&cursor), &reason);
    reason.is_dane = true;
    return open_failure(exim, id, host, ip, &reason, utc_s);
}

/* The last ": delivering unencrypted to H=" counts: the text before it may quote a server. */
static enum status on_clear_retry(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    static const char WORDS[] = ": delivering unencrypted to H=";
    struct span text = rest, found;
    struct tls_reason reason;
    struct cursor cursor;
    struct span host, ip;

    for (size_t at = 0; at + sizeof WORDS - 1 <= rest.len; at++)
        if (memcmp(rest.at + at, WORDS, sizeof WORDS - 1) == 0)
            text.len = at;
    if (text.len == rest.len)
        return ST_OK;
    found = behind(rest, text.len + sizeof WORDS - 1);
    cursor_init(&cursor, found.at, found.len);
    host = exim_take_token(&cursor);
    ip = exim_take_bracketed(&cursor);
    cursor_expect(&cursor, " (not in hosts_require_tls)");
    if (cursor.is_failed || !cursor_at_end(&cursor))
        return ST_OK;
    tls_reason_of_exim_session(text, &reason);
    return open_failure(exim, id, host, ip, &reason, utc_s);
}

/* "HOST [IP][:PORT]: TEXT"; only a text about TLS opens anything. */
static enum status on_host(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    struct tls_reason reason;
    struct cursor cursor;
    struct span host, ip;

    cursor_init(&cursor, rest.at, rest.len);
    host = exim_take_token(&cursor);
    ip = exim_take_bracketed(&cursor);
    if (cursor_skip_word(&cursor, ":"))
        (void)cursor_take_while(&cursor, "0123456789");
    (void)cursor_skip_word(&cursor, ":");
    cursor_expect(&cursor, " ");
    if (cursor.is_failed || cursor.at[-2] != ':' || !tls_reason_of_exim(rest_of(&cursor), &reason))
        return ST_OK;
    return open_failure(exim, id, host, ip, &reason, utc_s);
}

/* "IP] SSL verify error: depth=0 error=WORDS cert=DN" or "IP] SSL verify error: certificate name mismatch:
 * DN" */
static enum status on_verify_error(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    static const struct span CERT = {" cert=", 6};
    struct message *message;
    struct cursor cursor;
    struct span ip, words;
    const char *end;

    cursor_init(&cursor, rest.at, rest.len);
    ip = cursor_take_until(&cursor, "]");
    cursor_expect(&cursor, "] SSL verify error: ");
    if (cursor_skip_word(&cursor, "depth=")) {
        (void)cursor_take_while(&cursor, "0123456789");
        cursor_expect(&cursor, " error=");
    }
    if (cursor.is_failed)
        return ST_OK;
    words = rest_of(&cursor);
    end = memmem(words.at, words.len, CERT.at, CERT.len);
    if (end != NULL)
        words.len = (size_t)(end - words.at);
    message = get_message(exim, id, utc_s);
    keep_reason(&message->certificate, words);
    keep_ip(&message->certificate_ip, ip);
    return ST_OK;
}

/* ---- the other lines of a message ---- */

static enum status on_arrival(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    struct cursor cursor;

    if (exim->emitter->settings->ignored_sender_count == 0)
        return ST_OK;
    cursor_init(&cursor, rest.at, rest.len);
    if (emitter_is_ignored_sender(exim->emitter, exim_take_token(&cursor)))
        get_message(exim, id, utc_s)->is_ignored = true;
    return ST_OK;
}

static enum status on_completed(struct exim *exim, struct span id)
{
    struct session_slot *slot = slots_find(&exim->messages, key_of_id(exim, id));
    enum status status;

    if (slot == NULL)
        return ST_OK;
    status = settle(exim, (struct message *)(void *)slot);
    slots_remove(&exim->messages, slot);
    return status;
}

enum kind {
    KIND_DELIVERY,
    KIND_DANE_FAILURE,
    KIND_CLEAR_RETRY,
    KIND_HOST,
    KIND_VERIFY_ERROR,
    KIND_ARRIVAL,
    KIND_COMPLETED,
};

#define WORD(text) (text), sizeof(text) - 1

static const struct {
    const char *word;
    size_t len;
    enum kind kind;
} KINDS[] = {
    {WORD("=> "), KIND_DELIVERY},
    {WORD("<= "), KIND_ARRIVAL},
    {WORD("Completed"), KIND_COMPLETED},
    {WORD("-> "), KIND_DELIVERY},
    {WORD("** "), KIND_DELIVERY},
    {WORD("== "), KIND_DELIVERY},
    {WORD(">> "), KIND_DELIVERY},
    {WORD("H="), KIND_HOST},
    {WORD("DANE attempt failed; TLS connection to "), KIND_DANE_FAILURE},
    {WORD("TLS session: "), KIND_CLEAR_RETRY},
    {WORD("["), KIND_VERIFY_ERROR},
};

static enum status on_line(struct exim *exim, struct span id, struct span rest, int64_t utc_s)
{
    for (size_t i = 0; i < ARRAY_COUNT(KINDS); i++) {
        struct span more;

        if (rest.len < KINDS[i].len || memcmp(rest.at, KINDS[i].word, KINDS[i].len) != 0)
            continue;
        more = behind(rest, KINDS[i].len);
        switch (KINDS[i].kind) {
        case KIND_DELIVERY:
            return on_delivery(exim, id, rest, utc_s);
        case KIND_DANE_FAILURE:
            return on_dane_failure(exim, id, more, utc_s);
        case KIND_CLEAR_RETRY:
            return on_clear_retry(exim, id, more, utc_s);
        case KIND_HOST:
            return on_host(exim, id, more, utc_s);
        case KIND_VERIFY_ERROR:
            return on_verify_error(exim, id, more, utc_s);
        case KIND_ARRIVAL:
            return on_arrival(exim, id, more, utc_s);
        case KIND_COMPLETED:
            return on_completed(exim, id);
        }
    }
    return ST_OK;
}

/* ---- the reader ---- */

/* "[PID] " and, after syslog's stamp, the "[1/3] " of a long line. */
static void skip_bracketed_numbers(struct cursor *cursor)
{
    while (cursor_peek(cursor) == '[') {
        (void)exim_take_bracketed(cursor);
        cursor_expect(cursor, " ");
    }
}

/* Skip a stamp, syslog's host and tag, Exim's own stamp after them and the process id.  False: not Exim's line. */
static bool skip_to_message_id(struct cursor *cursor, struct span *stamp_out)
{
    struct span line = rest_of(cursor);
    size_t stamp_len = stamp_length(line);
    struct syslog_line syslog;

    if (stamp_len == 0)
        return false;
    *stamp_out = (struct span){line.at, stamp_len};
    cursor->at += stamp_len;
    if (line.at[stamp_len - 1] == ' ' && syslog_split(rest_of(cursor), &syslog) &&
        begins(syslog.tag, "exim")) {
        cursor_init(cursor, syslog.message.at, syslog.message.len);
        skip_bracketed_numbers(cursor);
        stamp_len = stamp_length(rest_of(cursor));
        if (stamp_len > 0)
            *stamp_out = (struct span){cursor->at, stamp_len};
        cursor->at += stamp_len;
    }
    skip_bracketed_numbers(cursor);
    return !cursor->is_failed;
}

static enum status exim_feed(void *reader, struct span line, uint64_t offset)
{
    struct exim *exim = reader;
    struct cursor cursor;
    struct span stamp, id;
    int64_t utc_s;
    enum status status;

    cursor_init(&cursor, line.at, line.len);
    if (!skip_to_message_id(&cursor, &stamp))
        return ST_OK;
    id = exim_take_message_id(&cursor);
    if (id.len == 0 || !stamp_parse(&exim->emitter->stamps, stamp, &utc_s))
        return ST_OK;
    exim->offset = offset;
    exim->evict_status = ST_OK;
    status = sweep(exim, utc_s);
    if (status == ST_OK)
        status = on_line(exim, id, rest_of(&cursor), utc_s);
    return status == ST_OK ? exim->evict_status : status;
}

static enum status exim_flush(void *reader)
{
    struct exim *exim = reader;
    enum status status = ST_OK;

    for (struct session_slot *slot = slots_oldest(&exim->messages); slot != NULL && status == ST_OK;
         slot = slots_oldest(&exim->messages)) {
        status = settle(exim, (struct message *)(void *)slot);
        slots_remove(&exim->messages, slot);
    }
    return status;
}

static uint64_t exim_replay_offset(const void *reader, uint64_t next_offset)
{
    const struct exim *exim = reader;
    uint64_t offset = next_offset;

    for (struct session_slot *slot = slots_oldest(&exim->messages); slot != NULL;
         slot = slots_next(&exim->messages, slot)) {
        const struct message *message = (const struct message *)(const void *)slot;

        if (message->begin_offset < offset)
            offset = message->begin_offset;
    }
    return offset;
}

static void *exim_new(struct emitter *emitter)
{
    uint32_t capacity = emitter->settings->open_max;
    struct exim *exim = calloc(1, sizeof *exim);

    if (exim == NULL)
        return NULL;
    exim->emitter = emitter;
    if (!slots_init(&exim->messages, sizeof(struct message), offsetof(struct message, certificate),
                    capacity != 0 ? capacity : MTALOG_MESSAGES_MAX, settle_evicted, exim)) {
        slots_done(&exim->messages);
        free(exim);
        return NULL;
    }
    return exim;
}

static void exim_free(void *reader)
{
    struct exim *exim = reader;

    slots_done(&exim->messages);
    free(exim);
}

const struct reader_methods exim_reader = {
    .new_reader = exim_new,
    .free_reader = exim_free,
    .feed = exim_feed,
    .flush = exim_flush,
    .replay_offset = exim_replay_offset,
};
