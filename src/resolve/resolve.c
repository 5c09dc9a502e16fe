/* SPDX-License-Identifier: MIT */
/*
 * A question is in three lists one after another:
 *   queue   added, not yet sent
 *   active  sent, its deadline runs; in the order of sending, so that the first one's deadline is the next
 *   late    its deadline passed and its callback was called, but c-ares still holds it, because c-ares cannot
 *           cancel one query; it is freed when c-ares is done with it
 */
#include "resolve/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* The calls that take bytes work with every c-ares from 1.18 on; newer ones only call them old. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "base/clock.h"
#include "model/domain.h"

#define CLASS_IN    1
#define TYPE_A      1
#define TYPE_SOA    6
#define TYPE_MX     15
#define TYPE_TXT    16
#define TYPE_AAAA   28
#define TYPE_TLSA   52
#define DNS_PORT    53
#define EDNS_BYTES  1232 /* fits every path's MTU (DNS flag day 2020) */
#define SERVER_MAX  64   /* bytes of "[address]:port" */
#define PARTS_MAX   2
#define WAIT_MAX_MS 1000 /* so that *stop is seen */

#define TLSRPT_PREFIX "_smtp._tls."
#define TLSA_PREFIX   "_25._tcp."
#define AD_BYTE       3 /* of the header: where the bit AD is */
#define AD_BIT        0x20

static const struct resolve_limits DEFAULT_LIMITS = {
    .in_flight = RESOLVE_IN_FLIGHT,
    .timeout_ms = RESOLVE_TIMEOUT_MS,
    .tries = RESOLVE_TRIES,
    .deadline_ms = RESOLVE_DEADLINE_MS,
};

struct dns_question;

/* One DNS query of a question. */
struct part {
    struct dns_question *question;
    int type;
    enum resolve_result result;
};

struct dns_question {
    struct dns_question *next, *previous;
    struct resolver *resolver;
    enum resolve_kind kind;
    const char *name;
    resolve_callback_fn *callback;
    void *context;
    int64_t deadline_ms;
    struct part parts[PARTS_MAX];
    size_t open_parts; /* that c-ares still holds */
    bool is_answered;
    bool is_name_known; /* the name exists, though perhaps without the records asked for */
    struct resolve_answer answer;
    struct arena *arena; /* of the answer: own or the caller's */
    struct arena own;
};

struct question_list {
    struct dns_question *first, *last;
};

struct resolver {
    ares_channel channel;
    struct resolve_limits limits;
    struct question_list queue;
    struct question_list active;
    size_t active_count;
    struct pollfd sockets[RESOLVE_SOCKETS_MAX];
    nfds_t socket_count;
    uint32_t seed;
};

/* ---- lists ---- */

static void list_append(struct question_list *list, struct dns_question *question)
{
    question->next = NULL;
    question->previous = list->last;
    if (list->last != NULL)
        list->last->next = question;
    else
        list->first = question;
    list->last = question;
}

static void list_remove(struct question_list *list, struct dns_question *question)
{
    if (question->previous != NULL)
        question->previous->next = question->next;
    else
        list->first = question->next;
    if (question->next != NULL)
        question->next->previous = question->previous;
    else
        list->last = question->previous;
}

static void question_free(struct dns_question *question)
{
    arena_done(&question->own);
    free(question);
}

/* ---- answers ---- */

static const char *words_of(int ares_status)
{
    switch (ares_status) {
    case ARES_ETIMEOUT:
        return "no DNS server answered in time";
    case ARES_ESERVFAIL:
        return "the DNS server could not find out (SERVFAIL)";
    case ARES_EREFUSED:
        return "the DNS server refused to answer (REFUSED)";
    case ARES_ECONNREFUSED:
        return "no DNS server gave a usable answer (SERVFAIL, REFUSED or not reachable)";
    default:
        return ares_strerror(ares_status);
    }
}

static void set_temporary(struct dns_question *question, struct part *part, const char *reason)
{
    part->result = RESOLVE_TEMPORARY;
    question->answer.reason = reason;
}

static enum status read_addresses(struct dns_question *question, bool want_ipv6, const unsigned char *reply,
                                  size_t len)
{
    struct resolve_answer *answer = &question->answer;
    struct address *found, *joined;
    size_t found_count;
    enum status status;

    status = dns_reply_addresses(reply, len, want_ipv6, question->arena, &found, &found_count);
    if (status != ST_OK)
        return status;
    joined = arena_alloc_array(question->arena, answer->address_count + found_count, sizeof *joined);
    if (joined == NULL)
        return ST_NOMEM;
    if (answer->address_count > 0)
        memcpy(joined + (want_ipv6 ? found_count : 0), answer->addresses,
               answer->address_count * sizeof *joined);
    memcpy(joined + (want_ipv6 ? 0 : answer->address_count), found, found_count * sizeof *joined);
    answer->addresses = joined;
    answer->address_count += found_count;
    return ST_OK;
}

/* A null MX stands alone; beside others it means nothing (RFC 7505 section 3). */
static enum status read_mx(struct dns_question *question, const unsigned char *reply, size_t len)
{
    struct resolve_answer *answer = &question->answer;
    struct mx_host *hosts;
    size_t count, kept = 0;
    enum status status;

    status = dns_reply_mx(reply, len, ++question->resolver->seed, question->arena, &hosts, &count);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (hosts[i].host[0] != '\0')
            hosts[kept++] = hosts[i];
    answer->is_null_mx = count > 0 && kept == 0;
    answer->mx_hosts = hosts;
    answer->mx_count = kept;
    return ST_OK;
}

static enum status read_tlsa(struct dns_question *question, const unsigned char *reply, size_t len)
{
    struct tlsa_reply found;
    enum status status = dns_reply_tlsa(reply, len, &found);

    if (status == ST_OK) {
        question->answer.tlsa_count = found.usable_count;
        question->answer.is_authentic = found.is_authentic;
    }
    return status;
}

static void read_reply(struct dns_question *question, struct part *part, const unsigned char *reply,
                       size_t len)
{
    struct resolve_answer *answer = &question->answer;
    enum status status;

    if (part->type == TYPE_TXT)
        status = dns_reply_txt(reply, len, question->arena, &answer->txts, &answer->txt_count);
    else if (part->type == TYPE_MX)
        status = read_mx(question, reply, len);
    else if (part->type == TYPE_TLSA || part->type == TYPE_SOA)
        status = read_tlsa(question, reply, len);
    else
        status = read_addresses(question, part->type == TYPE_AAAA, reply, len);
    if (status != ST_OK)
        set_temporary(question, part,
                      status == ST_NOMEM ? "out of memory" : "the DNS server's answer cannot be read");
}

/* The name exists but has no MX: it is its own mail host (RFC 5321 section 5.1). */
static void add_implicit_mx(struct dns_question *question)
{
    struct mx_host *host = arena_alloc(question->arena, sizeof *host);

    if (host == NULL) {
        set_temporary(question, &question->parts[0], "out of memory");
        return;
    }
    host->host = question->name;
    question->answer.mx_hosts = host;
    question->answer.mx_count = 1;
    question->answer.is_implicit_mx = true;
}

static enum resolve_result result_of(const struct dns_question *question)
{
    const struct resolve_answer *answer = &question->answer;

    if (answer->txt_count + answer->address_count + answer->mx_count + answer->tlsa_count > 0)
        return RESOLVE_FOUND;
    for (size_t i = 0; i < PARTS_MAX; i++)
        if (question->parts[i].result == RESOLVE_TEMPORARY)
            return RESOLVE_TEMPORARY;
    return RESOLVE_NONE;
}

/* Tell the caller; question is then late, or free to go if c-ares holds nothing of it. */
static void finish(struct dns_question *question)
{
    struct resolver *resolver = question->resolver;
    struct resolve_answer *answer = &question->answer;

    answer->result = result_of(question);
    if (question->kind == RESOLVE_MX && answer->result == RESOLVE_NONE && question->is_name_known &&
        !answer->is_null_mx) {
        add_implicit_mx(question);
        answer->result = result_of(question);
    }
    if (answer->result != RESOLVE_TEMPORARY)
        answer->reason = "";
    question->is_answered = true;
    list_remove(&resolver->active, question);
    resolver->active_count--;
    question->callback(question->context, answer);
}

/* ares_callback: one query of ours is done; reply is NULL unless status is ARES_SUCCESS or a server's no. */
static void on_reply(void *context, int ares_status, int timeouts, unsigned char *reply, int len)
{
    struct part *part = context;
    struct dns_question *question = part->question;

    (void)timeouts;
    question->open_parts--;
    if (!question->is_answered) {
        part->result = RESOLVE_NONE;
        if (ares_status == ARES_SUCCESS)
            read_reply(question, part, reply, (size_t)len);
        else if (ares_status != ARES_ENODATA && ares_status != ARES_ENOTFOUND)
            set_temporary(question, part, words_of(ares_status)); /* R12 */
        if (ares_status == ARES_ENODATA || ares_status == ARES_SUCCESS)
            question->is_name_known = true;
        if (question->open_parts == 0)
            finish(question);
    }
    if (question->open_parts == 0)
        question_free(question);
}

/* ---- questions ---- */

static enum status set_name(struct dns_question *question, const char *name, struct err *err)
{
    static const char *const PREFIXES[] = {
        [RESOLVE_TLSRPT] = TLSRPT_PREFIX, [RESOLVE_TXT] = "", [RESOLVE_ADDRESSES] = "", [RESOLVE_MX] = "",
        [RESOLVE_TLSA] = TLSA_PREFIX,     [RESOLVE_ROOT] = ""};
    const char *prefix = PREFIXES[question->kind];
    const char *domain;
    enum status status;

    question->name = question->answer.name = "";
    if (question->kind == RESOLVE_ROOT)
        return ST_OK;
    status = domain_normalise(name, strlen(name), question->arena, &domain, err);

    if (status != ST_OK)
        return status;
    if (*prefix != '\0')
        domain = arena_format(question->arena, "%s%s", prefix, domain);
    if (domain == NULL)
        return err_set(err, ST_NOMEM, "DNS question: out of memory");
    if (strlen(domain) > DOMAIN_NAME_MAX)
        return err_set(err, ST_RANGE, "domain name is longer than %d bytes with %s in front", DOMAIN_NAME_MAX,
                       prefix);
    question->name = domain;
    question->answer.name = domain;
    return ST_OK;
}

static enum status add_question(struct resolver *resolver, enum resolve_kind kind, const char *name,
                                resolve_callback_fn *callback, void *context, struct arena *arena,
                                struct err *err)
{
    struct dns_question *question = calloc(1, sizeof *question);
    enum status status;

    if (question == NULL)
        return err_set(err, ST_NOMEM, "DNS question: out of memory");
    arena_init(&question->own, DNS_REPLY_ARENA_MAX);
    question->arena = arena != NULL ? arena : &question->own;
    question->resolver = resolver;
    question->kind = kind;
    question->callback = callback;
    question->context = context;
    question->answer.reason = "";
    status = set_name(question, name, err);
    if (status != ST_OK)
        question_free(question);
    else
        list_append(&resolver->queue, question);
    return status;
}

enum status resolve_add(struct resolver *resolver, enum resolve_kind kind, const char *name,
                        resolve_callback_fn *callback, void *context, struct err *err)
{
    return add_question(resolver, kind, name, callback, context, NULL, err);
}

/*
 * A question whose answer shall say whether it is authentic: the bit AD asks for that (RFC 6840 section 5.7).  c-ares'
 * own ares_query cannot set it.
 */
static void send_with_ad(struct resolver *resolver, struct part *part)
{
    unsigned char *query = NULL;
    int len = 0;
    int ares_status =
        ares_create_query(part->question->name, CLASS_IN, part->type, 0, 1, &query, &len, EDNS_BYTES);

    if (ares_status != ARES_SUCCESS) {
        on_reply(part, ares_status, 0, NULL, 0);
        return;
    }
    query[AD_BYTE] |= AD_BIT;
    ares_send(resolver->channel, query, len, on_reply, part);
    ares_free_string(query);
}

static void send_part(struct resolver *resolver, struct part *part)
{
    if (part->type == TYPE_TLSA || part->type == TYPE_SOA)
        send_with_ad(resolver, part);
    else
        ares_query(resolver->channel, part->question->name, CLASS_IN, part->type, on_reply, part);
}

/* Send the first question of the queue. */
static void start_one(struct resolver *resolver)
{
    static const int TYPES[][PARTS_MAX] = {
        [RESOLVE_TLSRPT] = {TYPE_TXT, 0},          [RESOLVE_TXT] = {TYPE_TXT, 0},
        [RESOLVE_ADDRESSES] = {TYPE_AAAA, TYPE_A}, [RESOLVE_MX] = {TYPE_MX, 0},
        [RESOLVE_TLSA] = {TYPE_TLSA, 0},           [RESOLVE_ROOT] = {TYPE_SOA, 0},
    };
    struct dns_question *question = resolver->queue.first;
    const int *types = TYPES[question->kind];
    size_t parts = types[1] != 0 ? 2 : 1;

    list_remove(&resolver->queue, question);
    list_append(&resolver->active, question);
    resolver->active_count++;
    question->deadline_ms = clock_monotonic_ms() + resolver->limits.deadline_ms;
    question->open_parts = parts; /* c-ares may answer at once, so all are counted first */
    for (size_t i = 0; i < parts; i++)
        question->parts[i] = (struct part){question, types[i], RESOLVE_NONE};
    for (size_t i = 0; i < parts; i++)
        send_part(resolver, &question->parts[i]);
}

/* Questions that are late hold sockets too; a retry opens its own before c-ares closes the old one. */
static bool may_start(const struct resolver *resolver)
{
    return resolver->queue.first != NULL && resolver->active_count < resolver->limits.in_flight &&
           resolver->socket_count < RESOLVE_SOCKETS_MAX / 2 - PARTS_MAX;
}

/* Answer the active questions whose time is over (all of them if now_ms is INT64_MAX). */
static void expire(struct resolver *resolver, int64_t now_ms, const char *reason)
{
    while (resolver->active.first != NULL && resolver->active.first->deadline_ms <= now_ms) {
        set_temporary(resolver->active.first, &resolver->active.first->parts[0], reason);
        finish(resolver->active.first);
    }
}

/* ---- the loop ---- */

/* ares_sock_state_cb: keep the poll set as c-ares wants it. */
static void on_socket_state(void *context, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = context;
    nfds_t i = 0;

    while (i < resolver->socket_count && resolver->sockets[i].fd != fd)
        i++;
    if (!readable && !writable) {
        if (i < resolver->socket_count)
            resolver->sockets[i] = resolver->sockets[--resolver->socket_count];
        return;
    }
    if (i == RESOLVE_SOCKETS_MAX)
        return; /* not watched: its queries run into their time limit */
    if (i == resolver->socket_count)
        resolver->socket_count++;
    resolver->sockets[i].fd = fd;
    resolver->sockets[i].events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    resolver->sockets[i].revents = 0;
}

/* Milliseconds until c-ares or the first deadline wants attention. */
static int wait_ms(const struct resolver *resolver)
{
    struct timeval max = {.tv_sec = WAIT_MAX_MS / 1000};
    struct timeval buffer;
    const struct timeval *ares_wait = ares_timeout(resolver->channel, &max, &buffer);
    int64_t ms = ares_wait->tv_sec * 1000 + (ares_wait->tv_usec + 999) / 1000;
    int64_t deadline_ms = ms;

    if (resolver->active.first != NULL)
        deadline_ms = resolver->active.first->deadline_ms - clock_monotonic_ms();
    if (deadline_ms < ms)
        ms = deadline_ms;
    return ms > 0 ? (int)ms : 0;
}

/*
 * Let c-ares work on the sockets that are ready, and on its timers.  c-ares 1.34 and newer look at the timers in each
 * call, so they get all sockets in one: an answer that waits at the second must not time out while the first is read.
 */
#if ARES_VERSION >= 0x012200
static void process(struct resolver *resolver, const struct pollfd *ready, size_t count)
{
    ares_fd_events_t events[RESOLVE_SOCKETS_MAX];
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        short got = ready[i].revents;

        if (got != 0)
            events[used++] = (ares_fd_events_t){
                ready[i].fd, ((got & (POLLIN | POLLERR | POLLHUP)) != 0 ? (unsigned)ARES_FD_EVENT_READ : 0) |
                                 ((got & POLLOUT) != 0 ? (unsigned)ARES_FD_EVENT_WRITE : 0)};
    }
    (void)ares_process_fds(resolver->channel, used > 0 ? events : NULL, used, ARES_PROCESS_FLAG_NONE);
}
#else
static void process(struct resolver *resolver, const struct pollfd *ready, size_t count)
{
    bool is_any = false;

    for (size_t i = 0; i < count; i++) {
        short got = ready[i].revents;

        if (got == 0)
            continue;
        is_any = true;
        ares_process_fd(resolver->channel,
                        (got & (POLLIN | POLLERR | POLLHUP)) != 0 ? ready[i].fd : ARES_SOCKET_BAD,
                        (got & POLLOUT) != 0 ? ready[i].fd : ARES_SOCKET_BAD);
    }
    if (!is_any)
        ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
#endif

size_t resolve_prepare(struct resolver *resolver, struct pollfd *fds_out, int *wait_ms_out)
{
    while (may_start(resolver))
        start_one(resolver);
    *wait_ms_out = resolve_is_busy(resolver) ? wait_ms(resolver) : -1;
    memcpy(fds_out, resolver->sockets, resolver->socket_count * sizeof fds_out[0]);
    return resolver->socket_count;
}

void resolve_process(struct resolver *resolver, const struct pollfd *fds, size_t count)
{
    process(resolver, fds, count);
    expire(resolver, clock_monotonic_ms(), "no DNS server answered in time");
}

/* Answer everything that is queued or active. */
static void stop_all(struct resolver *resolver)
{
    while (resolver->queue.first != NULL || resolver->active.first != NULL) {
        struct dns_question *question = resolver->queue.first;

        expire(resolver, INT64_MAX, "stopped");
        if (question == NULL)
            continue;
        list_remove(&resolver->queue, question);
        list_append(&resolver->active, question);
        resolver->active_count++;
        set_temporary(question, &question->parts[0], "stopped");
        finish(question);
        question_free(question);
    }
}

bool resolve_is_busy(const struct resolver *resolver)
{
    return resolver->queue.first != NULL || resolver->active.first != NULL;
}

void resolve_step(struct resolver *resolver, int max_wait_ms)
{
    struct pollfd fds[RESOLVE_SOCKETS_MAX];
    int own_ms;
    size_t count = resolve_prepare(resolver, fds, &own_ms);

    if (own_ms < 0)
        return; /* c-ares answered at once */
    if (poll(fds, (nfds_t)count, own_ms < max_wait_ms ? own_ms : max_wait_ms) <= 0)
        count = 0;
    resolve_process(resolver, fds, count);
}

void resolve_run(struct resolver *resolver, const volatile sig_atomic_t *stop)
{
    while (resolve_is_busy(resolver)) {
        if (stop != NULL && *stop != 0) {
            stop_all(resolver);
            return;
        }
        resolve_step(resolver, WAIT_MAX_MS);
    }
}

static void keep_answer(void *context, const struct resolve_answer *answer)
{
    *(struct resolve_answer *)context = *answer;
}

enum status resolve_one(struct resolver *resolver, enum resolve_kind kind, const char *name,
                        struct arena *arena, struct resolve_answer *answer_out, struct err *err)
{
    enum status status = add_question(resolver, kind, name, keep_answer, answer_out, arena, err);

    if (status == ST_OK)
        resolve_run(resolver, NULL);
    return status;
}

/* ---- opening ---- */

/* One server as c-ares wants it: "192.0.2.1:53" or "[2001:db8::1]:53". */
static enum status format_server(const char *server, char text_out[SERVER_MAX], struct err *err)
{
    char address_text[ADDRESS_TEXT_SIZE];
    uint64_t port = DNS_PORT;
    struct address address;
    struct cursor cursor;
    struct span text;
    bool has_brackets;

    cursor_init(&cursor, server, strlen(server));
    has_brackets = cursor_skip_word(&cursor, "[");
    text = cursor_take_until(&cursor, has_brackets ? "]" : ":");
    if (has_brackets)
        cursor_expect(&cursor, "]");
    if (!cursor_at_end(&cursor)) {
        cursor_expect(&cursor, ":");
        port = cursor_take_number(&cursor, UINT16_MAX);
    }
    if (cursor.is_failed || !cursor_at_end(&cursor) || port == 0 ||
        !address_parse(text.at, text.len, &address))
        return err_set(err, ST_CONFIG,
                       "resolver: \"%.60s\" is no DNS server; use an address, as in 127.0.0.1:53 or [::1]:53",
                       server);
    address_format(&address, address_text);
    (void)snprintf(text_out, SERVER_MAX, address.len == 16 ? "[%s]:%u" : "%s:%u", address_text,
                   (unsigned)port);
    return ST_OK;
}

static enum status set_servers(struct resolver *resolver, const char *const *servers, size_t count,
                               struct err *err)
{
    char list[RESOLVE_SERVERS_MAX * (SERVER_MAX + 1)] = "";
    size_t len = 0;

    if (count > RESOLVE_SERVERS_MAX)
        return err_set(err, ST_CONFIG, "resolver: more than %d servers", RESOLVE_SERVERS_MAX);
    for (size_t i = 0; i < count; i++) {
        char server[SERVER_MAX];
        enum status status = format_server(servers[i], server, err);

        if (status != ST_OK)
            return status;
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? "," : "", server);
    }
    if (count > 0 && ares_set_servers_ports_csv(resolver->channel, list) != ARES_SUCCESS)
        return err_set(err, ST_IO, "resolver: cannot use %s", list);
    return ST_OK;
}

/* Every option that the environment or resolv.conf could touch is set here, so they cannot. */
static enum status open_channel(struct resolver *resolver, bool has_own_servers, struct err *err)
{
    static char lookups[] = "b";
    static char no_file[] = "/dev/null";
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
        .timeout = resolver->limits.timeout_ms,
        .tries = resolver->limits.tries,
        .ndots = 1,
        .lookups = lookups,
        .ednspsz = EDNS_BYTES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_LOOKUPS |
               ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE | ARES_OPT_DOMAINS;
    int ares_status;

    if (has_own_servers) { /* then the system's may even be broken */
        options.resolvconf_path = no_file;
        mask |= ARES_OPT_RESOLVCONF;
    }
#ifdef ARES_OPT_UDP_MAX_QUERIES
    /* A socket for each query: c-ares 1.34 closes a shared one after any failed send, and each query on it
     * loses one of its tries.  And each query has a source port of its own (RFC 5452 section 9.2). */
    options.udp_max_queries = 1;
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* a TTL of 0: every run wants a fresh answer */
#endif
    ares_status = ares_init_options(&resolver->channel, &options, mask);
    if (ares_status == ARES_ENOMEM)
        return err_set(err, ST_NOMEM, "resolver: out of memory");
    if (ares_status != ARES_SUCCESS)
        return err_set(err, ST_IO, "resolver: %s", ares_strerror(ares_status));
    return ST_OK;
}

enum status resolve_open(const char *const *servers, size_t server_count, const struct resolve_limits *limits,
                         struct resolver **resolver_out, struct err *err)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    enum status status;

    if (resolver == NULL)
        return err_set(err, ST_NOMEM, "resolver: out of memory");
    resolver->limits = limits != NULL ? *limits : DEFAULT_LIMITS;
    resolver->seed = (uint32_t)clock_monotonic_ms() ^ (uint32_t)getpid() << 16;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        free(resolver);
        return err_set(err, ST_NOMEM, "resolver: out of memory");
    }
    status = open_channel(resolver, server_count > 0, err);
    if (status == ST_OK)
        status = set_servers(resolver, servers, server_count, err);
    if (status == ST_OK)
        *resolver_out = resolver;
    else
        resolve_close(&resolver);
    return status;
}

void resolve_close(struct resolver **resolver)
{
    struct dns_question *question;
    struct dns_question *next;

    if (*resolver == NULL)
        return;
    for (question = (*resolver)->active.first; question != NULL; question = question->next)
        question->is_answered = true; /* so that no callback is called */
    if ((*resolver)->channel != NULL)
        ares_destroy((*resolver)->channel); /* lets go of every active and late question */
    for (question = (*resolver)->queue.first; question != NULL; question = next) {
        next = question->next;
        question_free(question);
    }
    ares_library_cleanup();
    free(*resolver);
    *resolver = NULL;
}
