/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt-gen-collect: receive session outcomes of MTAs on datagram sockets and count them in the store.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/log_events.h"
#include "cmd/program.h"
#include "datagram/datagram.h"
#include "listen/listen.h"
#include "model/utc_day.h"
#include "store/session_store.h"

#define BEGIN_BYTES   80    /* of a malformed datagram that the log shows */
#define MARK_EVERY_MS 20000 /* how often an idle collector moves the mark */

struct collector {
    struct program program;
    struct session_store *store;
    struct listener listeners[LISTEN_SOCKETS_MAX];
    size_t listener_count;
    struct listen_batch *batch;
    struct arena arena;
    uint64_t received, stored, malformed;
};

static volatile sig_atomic_t is_stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    is_stopping = 1;
}

static void log_malformed(const struct listen_datagram *datagram, const char *reason)
{
    char begin[BEGIN_BYTES + 1];
    size_t len = datagram->len < BEGIN_BYTES ? datagram->len : BEGIN_BYTES;

    for (size_t i = 0; i < len; i++)
        begin[i] = (char)(datagram->bytes[i] != '\0' ? datagram->bytes[i] : ' ');
    begin[len] = '\0';
    LOG_FACT(EV_DATAGRAM_MALFORMED, log_number("bytes", (int64_t)datagram->len), log_text("reason", reason),
             log_text("begin", begin));
}

/* The day an outcome counts for: a log reader's word, if it is not too old and not in the future. */
static int32_t day_of(const struct event *event, int64_t now_s)
{
    int32_t today = utc_day_of(now_s);

    return event->has_utc_day && event->utc_day <= today ? event->utc_day : today;
}

static enum status count_event(struct collector *collector, const struct event *event, int64_t now_s,
                               struct err *err)
{
    bool is_late = false;
    enum status status =
        session_store_add(collector->store, event, day_of(event, now_s), 1, now_s, &is_late, err);

    if (status != ST_OK)
        return status;
    session_store_bump(collector->store, is_late ? COUNTER_LATE : COUNTER_STORED, 1);
    session_store_bump(collector->store, COUNTER_REPAIRED, event->is_repaired && !is_late);
    session_store_bump(collector->store, COUNTER_UNKNOWN_POLICIES, event->dropped_policies);
    collector->stored += !is_late;
    return ST_OK;
}

static enum status count_datagram(struct collector *collector, const struct listen_datagram *datagram,
                                  int64_t now_s, struct err *err)
{
    struct event event;
    enum status status = ST_RANGE;

    collector->received++;
    session_store_bump(collector->store, COUNTER_RECEIVED, 1);
    arena_reset(&collector->arena);
    if (datagram->is_truncated)
        (void)err_set(err, ST_RANGE, "longer than %d bytes", LISTEN_BYTES_MAX);
    else
        status = datagram_decode(datagram->bytes, datagram->len, &collector->arena, &event, err);
    if (status == ST_OK)
        return count_event(collector, &event, now_s, err);
    collector->malformed++;
    session_store_bump(collector->store, COUNTER_MALFORMED, 1);
    log_malformed(datagram, err->text);
    return ST_OK;
}

/* One transaction for what one call received; the mark moves with it. */
static enum status count_batch(struct collector *collector, int count, int64_t now_s, struct err *err)
{
    const struct session_mark mark = {.counted_through_s = now_s};
    enum status status = session_store_begin(collector->store, err);

    for (int i = 0; status == ST_OK && i < count; i++) {
        struct listen_datagram datagram;

        listen_batch_get(collector->batch, (size_t)i, &datagram);
        status = count_datagram(collector, &datagram, now_s, err);
    }
    if (status == ST_OK)
        status = session_store_set_mark(collector->store, &mark, err);
    if (status == ST_OK)
        return session_store_commit(collector->store, err);
    session_store_rollback(collector->store);
    return status;
}

/* Take and count until every socket is empty. */
static enum status drain(struct collector *collector, struct err *err)
{
    for (size_t i = 0; i < collector->listener_count; i++) {
        int count;

        while ((count = listen_receive(&collector->listeners[i], collector->batch)) > 0) {
            enum status status = count_batch(collector, count, clock_utc_s(), err);

            if (status != ST_OK)
                return status;
        }
        if (count < 0)
            return err_set_errno(err, ST_IO, errno, "receive");
    }
    return ST_OK;
}

static enum status collect(struct collector *collector, struct err *err)
{
    struct pollfd polls[LISTEN_SOCKETS_MAX];
    sigset_t none;
    enum status status = count_batch(collector, 0, clock_utc_s(), err);

    (void)sigemptyset(&none);
    for (size_t i = 0; i < collector->listener_count; i++)
        polls[i] = (struct pollfd){.fd = collector->listeners[i].fd, .events = POLLIN};
    while (status == ST_OK && !is_stopping) {
        const struct timespec limit = {.tv_sec = MARK_EVERY_MS / 1000};
        int ready = ppoll(polls, collector->listener_count, &limit, &none);

        status = drain(collector, err);
        if (status == ST_OK && ready == 0)
            status = count_batch(collector, 0, clock_utc_s(), err);
    }
    for (size_t i = 0; i < collector->listener_count; i++)
        listen_stop(&collector->listeners[i]);
    return status == ST_OK ? drain(collector, err) : status;
}

static enum status open_sockets(struct collector *collector, struct err *err)
{
    const struct config *config = &collector->program.config;
    enum status status =
        listen_inherit(collector->listeners, LISTEN_SOCKETS_MAX, &collector->listener_count, err);

    if (status != ST_OK || collector->listener_count > 0)
        return status;
    if (config->socket.count > LISTEN_SOCKETS_MAX)
        return err_set(err, ST_CONFIG, "socket: more than %d paths", LISTEN_SOCKETS_MAX);
    for (size_t i = 0; status == ST_OK && i < config->socket.count; i++) {
        status = listen_open(config->socket.items[i], (mode_t)config->socket_mode, config->socket_group,
                             &collector->listeners[i], err);
        if (status == ST_OK)
            collector->listener_count++;
    }
    return status;
}

static enum status open_all(struct collector *collector, struct err *err)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/sessions.db", collector->program.config.state_dir);
    enum status status;

    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(err, ST_CONFIG, "state_dir is too long");
    datagram_init();
    arena_init(&collector->arena, DATAGRAM_ARENA_BYTES);
    collector->batch = listen_batch_new();
    if (collector->batch == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    status = session_store_open(path, SESSION_STORE_WRITE, NULL, &collector->store, err);
    return status == ST_OK ? open_sockets(collector, err) : status;
}

static void close_all(struct collector *collector)
{
    for (size_t i = 0; i < collector->listener_count; i++)
        listen_close(&collector->listeners[i]);
    session_store_close(&collector->store);
    listen_batch_free(&collector->batch);
    arena_done(&collector->arena);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop};
    sigset_t blocked;

    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

static enum status run(struct collector *collector, struct err *err)
{
    enum status status;

    catch_signals();
    status = open_all(collector, err);
    if (status == ST_OK) {
        LOG_FACT(EV_COLLECTOR_STARTED, log_text("version", TLSRPT_GEN_VERSION),
                 log_number("sockets", (int64_t)collector->listener_count),
                 log_text("state_dir", collector->program.config.state_dir));
        status = collect(collector, err);
        LOG_FACT(EV_COLLECTOR_STOPPED, log_number("received", (int64_t)collector->received),
                 log_number("stored", (int64_t)collector->stored),
                 log_number("malformed", (int64_t)collector->malformed));
    }
    close_all(collector);
    return status;
}

static int usage(FILE *out, int code)
{
    fputs("Usage: tlsrpt-gen-collect [-c FILE] [-o KEY=VALUE]...\n"
          "Receive session outcomes of MTAs and count them for tlsrpt-gen.\n\n"
          "  -c, --config FILE   settings (default " CONFIG_DEFAULT_FILE ")\n"
          "  -o KEY=VALUE        a setting that wins over the file\n"
          "  -h, --help          this text\n"
          "  -V, --version       the version\n\nSettings:\n",
          out);
    config_help(out);
    return code;
}

/* -1: go on; else the exit code. */
static int take_options(struct program *program, int argc, char **argv)
{
    static const struct option LONG_OPTIONS[] = {PROGRAM_LONG_OPTIONS, {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, PROGRAM_SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h')
            return usage(stdout, 0);
        if (option == 'V') {
            program_print_version(program);
            return 0;
        }
        if (!program_take_option(program, option, optarg))
            return EXIT_USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument %s\n", program->name, argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct collector collector = {
        .program = {.name = "tlsrpt-gen-collect", .config_path = CONFIG_DEFAULT_FILE}};
    struct err err;
    enum status status;
    int code = take_options(&collector.program, argc, argv);

    if (code >= 0)
        return code;
    log_open(collector.program.name, LOG_TO_STDERR);
    status = program_load_config(&collector.program, false, &err);
    if (status == ST_OK)
        status = run(&collector, &err);
    code = status == ST_OK ? 0 : program_fail(&collector.program, &err);
    config_done(&collector.program.config);
    return code;
}
