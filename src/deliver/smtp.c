/* SPDX-License-Identifier: MIT */
/*
 * How it works.  A slot is one connection: a batch and a worker process, with a socket pair as its stdin and
 * stdout.
 *
 * 1. smtp_start gives a free slot its batch and starts the worker (start).
 * 2. smtp_step, after the caller's poll: feed writes settings, messages and "go" as far as the worker reads them;
 *    hear reads progress and results; check_deadline kills a worker that takes too long.
 * 3. When a worker's output ends, finish decides: if the session failed before its first mail, the batch is started
 *    again without TLS (R48) or with the next target; else mails without a result get the session's (settle_rest).
 * 4. smtp_take gives out the results, smtp_finish the batch, and the slot is free.
 */
#include "deliver/smtp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"

#define WORKER_NAME  "tlsrpt-gen-smtp"
#define REPLIES_MAX  (1u << 20) /* bytes from a worker that are not taken yet */
#define READ_BYTES   16384
#define POLL_MAX_MS  60000
#define FRAMES_SLACK 4096 /* of a message's frame without the message */
#define QUIT_MS      3000 /* for QUIT after the last mail's result */

enum worker_state {
    SLOT_FREE,
    SLOT_RUNNING,
    SLOT_ENDED, /* its output has ended; to be reaped */
    SLOT_DONE,  /* every mail has its result; the batch is to be given back */
};

struct smtp_slot {
    struct smtp_batch batch;
    size_t unsettled;            /* mails without a result */
    size_t target;               /* index into batch.targets */
    struct delivery_result rest; /* the result of mails that get none of their own */

    /* the worker process */
    int64_t started_ms;
    int64_t settled_ms; /* when unsettled became 0 */
    size_t sent;        /* mails that were put into out */
    size_t out_at;      /* bytes of out that were written */
    struct strbuf out;
    struct strbuf in;
    pid_t pid;
    int fd;
    enum worker_state state;
    enum smtp_progress progress;
    bool is_go_sent;
    bool has_ended;     /* it sent an end frame */
    bool is_called_off; /* smtp_end ended it */
    bool is_tls_off;    /* second try, without TLS */
    bool is_settled[SMTP_BATCH_MAX];
    struct delivery_result results[SMTP_BATCH_MAX]; /* in the order in which they came */
    size_t result_of[SMTP_BATCH_MAX];               /* the mail that each is about */
    size_t result_count, taken;
};

struct smtp_pool {
    const char *worker;
    const struct smtp_limits *limits;
    struct smtp_slot *slots;
    size_t slot_count;
};

/* ---- results ---- */

static void settle(struct smtp_slot *slot, size_t index, const struct delivery_result *result)
{
    slot->is_settled[index] = true;
    if (--slot->unsettled == 0)
        slot->settled_ms = clock_monotonic_ms();
    slot->result_of[slot->result_count] = index;
    slot->results[slot->result_count++] = *result;
}

/*
 * A worker that sent an end frame has reported which mails are in doubt.  If it did not, only the first mail
 * without a result can be in doubt, because the worker sends one mail after the other.
 */
static void settle_rest(struct smtp_slot *slot)
{
    bool is_in_doubt = slot->progress == SMTP_PROGRESS_MAILING && !slot->has_ended;
    /* The first mail without a result is the one that the session broke at, unless the worker stopped in front of it. */
    bool is_untried = (slot->has_ended && slot->progress == SMTP_PROGRESS_MAILING &&
                       slot->rest.stage == DELIVERY_AT_START) ||
                      (slot->is_called_off && slot->progress < SMTP_PROGRESS_MAILING);

    for (size_t i = 0; i < slot->batch.count; i++) {
        struct delivery_result result = slot->rest;

        if (slot->is_settled[i])
            continue;
        if (is_in_doubt)
            delivery_result_put_in_doubt(&result);
        result.is_untried = is_untried;
        is_untried = true;
        is_in_doubt = false;
        settle(slot, i, &result);
    }
}

static void set_rest(struct smtp_slot *slot, enum delivery_stage stage, const char *words)
{
    delivery_result_set(&slot->rest, DELIVERY_RESULT_TRY_LATER, stage, 0, "%s", words);
}

static enum delivery_stage stage_of(enum smtp_progress progress)
{
    switch (progress) {
    case SMTP_PROGRESS_NONE:
        return DELIVERY_AT_CONNECT;
    case SMTP_PROGRESS_TLS_BEGUN:
        return DELIVERY_AT_TLS;
    case SMTP_PROGRESS_MAILING:
        return DELIVERY_AT_MAIL;
    case SMTP_PROGRESS_CONNECTED:
    case SMTP_PROGRESS_TLS_UP:
    case SMTP_PROGRESS_COUNT:
        break;
    }
    return DELIVERY_AT_GREETING;
}

/* ---- starting a worker ---- */

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* For how long the session that starts now may start mails, so that the last one can finish before the deadline. */
static uint32_t mailing_ms(const struct smtp_slot *slot, const struct smtp_limits *limits)
{
    int64_t left_ms = slot->batch.deadline_ms - clock_monotonic_ms();

    if (left_ms > limits->session_timeout_ms)
        left_ms = limits->session_timeout_ms;
    left_ms -= limits->step_timeout_ms;
    return left_ms > 0 ? (uint32_t)left_ms : 0;
}

static void put_settings(struct smtp_slot *slot, const struct smtp_limits *limits)
{
    const struct smtp_target *target = &slot->batch.targets[slot->target];
    const struct smtp_wire_settings settings = {
        .host = span_of(target->host),
        .port = target->port,
        .address = span_of(target->address),
        .ehlo_name = span_of(target->ehlo_name),
        .tls = slot->is_tls_off ? SMTP_TLS_OFF : target->tls,
        .ca_file = span_of(target->ca_file),
        .user = span_of(target->user),
        .password = span_of(target->password),
        .step_timeout_ms = (uint32_t)limits->step_timeout_ms,
        .mailing_ms = mailing_ms(slot, limits),
    };

    smtp_wire_put_settings(&slot->out, &settings);
}

/* fork and exec with fd as stdin and stdout; 0 or an errno. */
static int spawn(const char *worker, int fd, pid_t *pid_out)
{
    static char name[] = WORKER_NAME;
    static char home[] = "HOME=/nonexistent";
    char *const environment[] = {home, NULL};
    char *const arguments[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    int error = posix_spawn_file_actions_init(&actions);

    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return error;
    }
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    error = error != 0 ? error : posix_spawnattr_setsigdefault(&attributes, &all);
    error = error != 0 ? error : posix_spawnattr_setsigmask(&attributes, &none);
    error = error != 0 ? error : posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    error = error != 0 ? error : posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    error = error != 0 ? error : posix_spawn(pid_out, worker, &actions, &attributes, arguments, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Both ends of the worker's stdin and stdout, and the worker; 0 or an errno. */
static int open_worker(struct smtp_slot *slot, const char *worker)
{
    int ends[2];
    int error;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return errno;
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
        error = errno;
    else
        error = spawn(worker, ends[1], &slot->pid);
    (void)close(ends[1]);
    if (error != 0)
        (void)close(ends[0]);
    else
        slot->fd = ends[0];
    return error;
}

/* Start a worker for the batch's mails that have no result.  If that fails, the slot has ended. */
static void start(struct smtp_pool *pool, struct smtp_slot *slot)
{
    int error;

    slot->pid = 0;
    slot->progress = SMTP_PROGRESS_NONE;
    slot->sent = 0;
    slot->is_go_sent = false;
    slot->has_ended = false;
    slot->out_at = 0;
    strbuf_reset(&slot->out);
    strbuf_reset(&slot->in);
    slot->started_ms = clock_monotonic_ms();
    slot->state = SLOT_RUNNING;
    put_settings(slot, pool->limits);
    error = open_worker(slot, pool->worker);
    if (error == 0) {
        set_rest(slot, DELIVERY_AT_START, "the worker ended without a word");
        return;
    }
    delivery_result_set(&slot->rest, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0, "cannot start %s: %s",
                        pool->worker, strerror(error));
    slot->state = SLOT_ENDED;
}

/* ---- feeding it ---- */

/* Put the next frame into out; false if everything was put. */
static bool put_next(struct smtp_slot *slot)
{
    while (slot->sent < slot->batch.count && slot->is_settled[slot->sent])
        slot->sent++;
    if (slot->sent < slot->batch.count) {
        const struct smtp_mail *mail = &slot->batch.mails[slot->sent];
        const struct smtp_wire_message message = {.id = slot->sent++,
                                                  .envelope_from = span_of(mail->envelope_from),
                                                  .recipient = span_of(mail->recipient),
                                                  .bytes = {mail->bytes, mail->len}};

        smtp_wire_put_message(&slot->out, &message);
        return true;
    }
    if (slot->is_go_sent)
        return false;
    slot->is_go_sent = true;
    smtp_wire_put_go(&slot->out);
    return true;
}

static void kill_worker(struct smtp_slot *slot, enum delivery_stage stage, const char *words)
{
    set_rest(slot, stage, words);
    slot->has_ended = false;
    slot->state = SLOT_ENDED;
    if (slot->pid > 0)
        (void)kill(slot->pid, SIGKILL);
}

static bool has_output(const struct smtp_slot *slot)
{
    return slot->out_at < slot->out.len || !slot->is_go_sent;
}

/* Write until the socket is full or all is written.  If the worker reads no more, its output says why. */
static void feed(struct smtp_slot *slot)
{
    while (slot->state == SLOT_RUNNING) {
        ssize_t sent;

        if (slot->out_at == slot->out.len) {
            strbuf_reset(&slot->out);
            slot->out_at = 0;
            if (!put_next(slot))
                return;
        }
        if (strbuf_is_failed(&slot->out)) {
            kill_worker(slot, DELIVERY_AT_START, "a message is too large, or memory is out");
            return;
        }
        sent = send(slot->fd, slot->out.data + slot->out_at, slot->out.len - slot->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0) { /* it has ended or is ending: write no more, its last frames will be read */
            (void)shutdown(slot->fd, SHUT_WR);
            slot->is_go_sent = true;
            slot->sent = slot->batch.count;
            slot->out_at = slot->out.len;
            return;
        }
        slot->out_at += (size_t)sent;
    }
}

/* ---- reading its output ---- */

static bool take_result(struct smtp_slot *slot, struct span payload)
{
    struct smtp_wire_result frame;

    if (!smtp_wire_read_result(payload, &frame) || frame.id >= slot->batch.count ||
        slot->is_settled[frame.id])
        return false;
    settle(slot, (size_t)frame.id, &frame.result);
    return true;
}

static bool take_end(struct smtp_slot *slot, struct span payload)
{
    struct smtp_wire_end end;

    if (!smtp_wire_read_end(payload, &end))
        return false;
    slot->has_ended = true;
    delivery_result_set(
        &slot->rest, DELIVERY_RESULT_TRY_LATER, end.stage, (int)end.code, "%.*s",
        (int)(end.text.len < DELIVERY_RESULT_TEXT_MAX ? end.text.len : DELIVERY_RESULT_TEXT_MAX),
        end.text.at);
    return true;
}

static bool take_frame(struct smtp_slot *slot, enum smtp_wire_type type, struct span payload)
{
    switch (type) {
    case SMTP_WIRE_PROGRESS:
        return smtp_wire_read_progress(payload, &slot->progress);
    case SMTP_WIRE_RESULT:
        return take_result(slot, payload);
    case SMTP_WIRE_END:
        return take_end(slot, payload);
    case SMTP_WIRE_SETTINGS:
    case SMTP_WIRE_MESSAGE:
    case SMTP_WIRE_GO:
        break;
    }
    return false;
}

/* Take all complete frames in slot->in and keep the rest; false if they are not of our protocol. */
static bool take_frames(struct smtp_slot *slot)
{
    size_t at = 0;
    enum smtp_wire_found found;

    for (;;) {
        enum smtp_wire_type type;
        struct span payload;
        size_t used;

        found = smtp_wire_find(slot->in.data + at, slot->in.len - at, &type, &payload, &used);
        if (found != SMTP_WIRE_FRAME)
            break;
        if (!take_frame(slot, type, payload))
            return false;
        at += used;
    }
    if (at > 0) {
        memmove(slot->in.data, slot->in.data + at, slot->in.len - at);
        slot->in.len -= at;
    }
    return found == SMTP_WIRE_MORE;
}

/* Read until nothing more is there. */
static void hear(struct smtp_slot *slot)
{
    char chunk[READ_BYTES];

    for (;;) {
        ssize_t got = read(slot->fd, chunk, sizeof chunk);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            slot->state = SLOT_ENDED;
            return;
        }
        strbuf_add(&slot->in, chunk, (size_t)got);
        if (strbuf_is_failed(&slot->in) || !take_frames(slot)) {
            kill_worker(slot, DELIVERY_AT_START, "the worker does not keep to the protocol");
            return;
        }
    }
}

/* ---- deadlines ---- */

static int64_t deadline_ms(const struct smtp_pool *pool, const struct smtp_slot *slot)
{
    int64_t end_ms =
        slot->started_ms + (slot->progress == SMTP_PROGRESS_NONE ? pool->limits->connect_timeout_ms
                                                                 : pool->limits->session_timeout_ms);

    if (slot->unsettled == 0)
        return slot->settled_ms + QUIT_MS;
    return slot->batch.deadline_ms < end_ms ? slot->batch.deadline_ms : end_ms;
}

static void check_deadline(struct smtp_pool *pool, struct smtp_slot *slot)
{
    if (clock_monotonic_ms() < deadline_ms(pool, slot))
        return;
    hear(slot); /* what it said in time counts */
    if (slot->state == SLOT_RUNNING)
        kill_worker(slot, stage_of(slot->progress),
                    slot->progress == SMTP_PROGRESS_NONE ? "no connection within the time limit"
                                                         : "the session took longer than its time limit");
}

/* ---- ending ---- */

/* Wait for a process that has closed its output or was killed. */
static void reap(struct smtp_slot *slot)
{
    int status = 0;

    if (slot->pid <= 0)
        return;
    (void)kill(slot->pid, SIGKILL); /* nothing more is expected from it */
    while (waitpid(slot->pid, &status, 0) < 0 && errno == EINTR) {
    }
    (void)close(slot->fd);
    slot->pid = 0;
}

/* True if another try, without TLS or at the next target, is under way. */
static bool try_again(struct smtp_pool *pool, struct smtp_slot *slot)
{
    const struct smtp_target *target = &slot->batch.targets[slot->target];
    bool is_tls_trouble = slot->progress == SMTP_PROGRESS_TLS_BEGUN || slot->progress == SMTP_PROGRESS_TLS_UP;

    if (slot->unsettled == 0 || slot->progress == SMTP_PROGRESS_MAILING ||
        clock_monotonic_ms() >= slot->batch.deadline_ms)
        return false;
    if (is_tls_trouble && target->tls == SMTP_TLS_OPPORTUNISTIC && !slot->is_tls_off) {
        slot->is_tls_off = true; /* R48 */
    } else if (slot->target + 1 < slot->batch.target_count) {
        slot->target++;
        slot->is_tls_off = false;
    } else {
        return false;
    }
    start(pool, slot);
    return true;
}

static void finish(struct smtp_pool *pool, struct smtp_slot *slot)
{
    while (slot->state == SLOT_ENDED) {
        reap(slot);
        if (try_again(pool, slot))
            continue;
        settle_rest(slot);
        slot->state = SLOT_DONE;
    }
}

/* ---- batches ---- */

void smtp_start(struct smtp_pool *pool, const struct smtp_batch *batch)
{
    struct smtp_slot *slot = pool->slots;

    while (slot->state != SLOT_FREE)
        slot++;
    slot->batch = *batch;
    memset(slot->is_settled, 0, sizeof slot->is_settled);
    slot->unsettled = batch->count;
    slot->result_count = slot->taken = 0;
    slot->target = 0;
    slot->is_tls_off = slot->is_called_off = false;
    start(pool, slot);
    finish(pool, slot);
}

bool smtp_take(struct smtp_pool *pool, int64_t *id_out, struct delivery_result *result_out)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct smtp_slot *slot = &pool->slots[i];

        if (slot->state == SLOT_FREE || slot->taken == slot->result_count)
            continue;
        *id_out = slot->batch.mails[slot->result_of[slot->taken]].id;
        *result_out = slot->results[slot->taken++];
        return true;
    }
    return false;
}

void *smtp_finish(struct smtp_pool *pool)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct smtp_slot *slot = &pool->slots[i];

        if (slot->state == SLOT_DONE && slot->taken == slot->result_count) {
            slot->state = SLOT_FREE;
            return slot->batch.owner;
        }
    }
    return NULL;
}

/* ---- one turn of the loop ---- */

size_t smtp_prepare(const struct smtp_pool *pool, struct pollfd *fds_out, int *wait_ms_out)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t next_ms = INT64_MAX;
    size_t count = 0;

    for (size_t i = 0; i < pool->slot_count; i++) {
        const struct smtp_slot *slot = &pool->slots[i];

        if (slot->state != SLOT_RUNNING)
            continue;
        fds_out[count++] =
            (struct pollfd){.fd = slot->fd, .events = (short)(POLLIN | (has_output(slot) ? POLLOUT : 0))};
        if (deadline_ms(pool, slot) < next_ms)
            next_ms = deadline_ms(pool, slot);
    }
    if (count == 0)
        *wait_ms_out = -1;
    else
        *wait_ms_out = next_ms > now_ms + POLL_MAX_MS ? POLL_MAX_MS
                       : next_ms > now_ms             ? (int)(next_ms - now_ms)
                                                      : 0;
    return count;
}

static short events_of(const struct smtp_slot *slot, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].fd == slot->fd)
            return fds[i].revents;
    return 0;
}

void smtp_step(struct smtp_pool *pool, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct smtp_slot *slot = &pool->slots[i];
        short events;

        if (slot->state != SLOT_RUNNING)
            continue;
        events = events_of(slot, fds, count);
        if ((events & POLLOUT) != 0)
            feed(slot);
        if (slot->state == SLOT_RUNNING && (events & (POLLIN | POLLHUP | POLLERR)) != 0)
            hear(slot);
        if (slot->state == SLOT_RUNNING)
            check_deadline(pool, slot);
        finish(pool, slot);
    }
}

void smtp_end(struct smtp_pool *pool, const char *reason)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct smtp_slot *slot = &pool->slots[i];

        if (slot->state != SLOT_RUNNING)
            continue;
        hear(slot);                  /* what it said in time counts */
        slot->batch.deadline_ms = 0; /* no second try */
        slot->is_called_off = true;
        if (slot->state == SLOT_RUNNING)
            kill_worker(slot, stage_of(slot->progress), reason);
        finish(pool, slot);
    }
}

/* ---- the pool ---- */

enum status smtp_open(const char *worker, const struct smtp_limits *limits, struct smtp_pool **pool_out,
                      struct err *err)
{
    struct smtp_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    pool->worker = worker;
    pool->limits = limits;
    pool->slot_count = limits->connections < 1 ? 1 : limits->connections;
    if (pool->slot_count > SMTP_CONNECTIONS_MAX)
        pool->slot_count = SMTP_CONNECTIONS_MAX;
    pool->slots = calloc(pool->slot_count, sizeof *pool->slots);
    if (pool->slots == NULL) {
        free(pool);
        return err_set(err, ST_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < pool->slot_count; i++) {
        strbuf_init(&pool->slots[i].out, SMTP_WIRE_FRAME_MAX + FRAMES_SLACK);
        strbuf_init(&pool->slots[i].in, REPLIES_MAX);
    }
    *pool_out = pool;
    return ST_OK;
}

void smtp_close(struct smtp_pool **pool_pointer)
{
    struct smtp_pool *pool = *pool_pointer;

    *pool_pointer = NULL;
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->slot_count; i++) {
        reap(&pool->slots[i]);
        strbuf_done(&pool->slots[i].out);
        strbuf_done(&pool->slots[i].in);
    }
    free(pool->slots);
    free(pool);
}

/* ---- finding the worker ---- */

/* "/folder/of/the/running/program/tlsrpt-gen-smtp" */
static bool path_beside_program(char *path_out, size_t size)
{
    char program[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    if (len <= 0)
        return false;
    program[len] = '\0';
    slash = strrchr(program, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return (size_t)snprintf(path_out, size, "%s/%s", program, WORKER_NAME) < size;
}

enum status smtp_find_worker(char *path_out, size_t size, struct err *err)
{
    char beside[PATH_MAX];
    char installed[] = TLSRPT_GEN_LIBEXECDIR "/" WORKER_NAME;
    const char *found = NULL;

    if (path_beside_program(beside, sizeof beside) && access(beside, X_OK) == 0)
        found = beside;
    else if (access(installed, X_OK) == 0)
        found = installed;
    if (found == NULL)
        return err_set(err, ST_NOT_FOUND,
                       "%s is neither beside this program nor %s; install tlsrpt-gen whole", WORKER_NAME,
                       installed);
    if (strlen(found) >= size)
        return err_set(err, ST_RANGE, "%s: path is too long", found);
    memcpy(path_out, found, strlen(found) + 1);
    return ST_OK;
}
