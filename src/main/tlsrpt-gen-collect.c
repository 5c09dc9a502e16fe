/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt-gen-collect - receive session outcomes of MTAs on datagram sockets and count them in the store.
 *
 * main opens everything, starts the receiving and the counting thread (collect.h), and then only looks after
 * them: signals, the service manager's watchdog, and what the receiving thread cannot log itself.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "app/host_settings.h"
#include "app/log_events.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/keyed_hash.h"
#include "base/strbuf.h"
#include "collect/collect.h"
#include "collect/service.h"

#define QUEUE_FILE       "/proc/sys/net/unix/max_dgram_qlen"
#define QUEUE_WANTED     512
#define ORIGIN_SIZE      256
#define BUSY_MS          2000 /* the ring can wait longer than a thread that must show that it lives */
#define STATUS_EVERY_MS  10000
#define DROPPED_EVERY_MS 60000

/* What the main thread remembers between two ticks. */
struct watch {
    pthread_t receiving, counting;
    int64_t watchdog_ms; /* 0: the service manager wants none */
    int64_t last_watchdog_ms;
    int64_t last_status_ms;
    int64_t last_dropped_ms;
    uint64_t said_dropped;
    uint64_t receive_beats, count_beats; /* at the last WATCHDOG=1 */
    enum receiver_class said_class;
};

/* ---- opening ---- */

static enum status state_path(const struct collect *collect, const char *name, char path_out[PATH_MAX],
                              struct err *err)
{
    int len = snprintf(path_out, PATH_MAX, "%s/%s", collect->program.config.state_dir, name);

    return len >= 0 && len < PATH_MAX ? ST_OK : err_set(err, ST_CONFIG, "state_dir is too long");
}

static enum status parse_uid(const char *item, uid_t *uid_out, struct err *err)
{
    const struct passwd *user;
    struct cursor cursor;
    uint64_t number;

    cursor_init(&cursor, item, strlen(item));
    number = cursor_take_number(&cursor, UINT32_MAX - 1);
    if (!cursor.is_failed && cursor_at_end(&cursor)) {
        *uid_out = (uid_t)number;
        return ST_OK;
    }
    user = getpwnam(item);
    if (user == NULL)
        return err_set(err, ST_CONFIG, "allow_uid: there is no user %s; correct the name or use a number",
                       item);
    *uid_out = user->pw_uid;
    return ST_OK;
}

static enum status check_host(struct collect *collect, struct err *err)
{
    return host_settings_check(&collect->program.config,
                               getenv("LISTEN_FDS") != NULL ? HOST_SETTINGS_INHERIT : HOST_SETTINGS_COLLECT,
                               err);
}

static enum status read_allowed(struct collect *collect, struct err *err)
{
    const struct option_list *list = &collect->program.config.allow_uid;
    enum status status = ST_OK;

    if (list->count > COLLECT_UIDS_MAX)
        return err_set(err, ST_CONFIG, "allow_uid: more than %d users", COLLECT_UIDS_MAX);
    for (size_t i = 0; status == ST_OK && i < list->count; i++)
        status = parse_uid(list->items[i], &collect->allowed[i], err);
    collect->allowed_count = list->count;
    return status;
}

/* Is there a socket of this kind already? */
static bool has_kind(const struct collect *collect, bool is_stream)
{
    for (size_t i = 0; i < collect->listener_count; i++)
        if (collect->listeners[i].is_stream == is_stream)
            return true;
    return false;
}

typedef enum status open_fn(const char *path, mode_t mode, const char *group, struct listener *listener_out,
                            struct err *err);

static enum status open_list(struct collect *collect, const char *name, const struct option_list *paths,
                             open_fn *open, struct err *err)
{
    const struct config *config = &collect->program.config;
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < paths->count; i++) {
        if (collect->listener_count == LISTEN_SOCKETS_MAX)
            return err_set(err, ST_CONFIG, "%s: more than %d sockets in all", name, LISTEN_SOCKETS_MAX);
        status = open(paths->items[i], (mode_t)config->socket_mode, config->socket_group,
                      &collect->listeners[collect->listener_count], err);
        if (status == ST_OK)
            collect->listener_count++;
    }
    return status;
}

static enum status refuse_no_socket(const struct config *config, struct err *err)
{
    char origin[ORIGIN_SIZE];

    options_origin_format(&config->options, "socket", origin, sizeof origin);
    return err_set(err, ST_CONFIG,
                   "%s: socket: names no socket, and neither does exim_socket; remove it for the default",
                   origin);
}

/* Of each kind, the service manager's sockets are used instead of those in the settings. */
static enum status open_sockets(struct collect *collect, struct err *err)
{
    const struct config *config = &collect->program.config;
    enum status status =
        listen_inherit(collect->listeners, LISTEN_SOCKETS_MAX, &collect->listener_count, err);

    if (status == ST_OK && !has_kind(collect, false))
        status = open_list(collect, "socket", &config->socket, listen_open, err);
    if (status == ST_OK && !has_kind(collect, true))
        status = open_list(collect, "exim_socket", &config->exim_socket, listen_open_stream, err);
    if (status == ST_OK && collect->listener_count == 0)
        status = refuse_no_socket(config, err);
    for (size_t i = 0; status == ST_OK && collect->allowed_count > 0 && i < collect->listener_count; i++)
        if (!collect->listeners[i].is_stream)
            status = listen_want_uid(&collect->listeners[i], err);
    return status;
}

static enum status open_exim(struct collect *collect, struct err *err)
{
    int fds[LISTEN_SOCKETS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < collect->listener_count; i++)
        if (collect->listeners[i].is_stream)
            fds[count++] = collect->listeners[i].fd;
    return count > 0 ? exim_stream_new(fds, count, &collect->exim, err) : ST_OK;
}

/* A second collector on the same store would read the same ring. */
static enum status lock_state(struct collect *collect, struct err *err)
{
    char path[PATH_MAX];
    enum status status = state_path(collect, "collector.lock", path, err);

    if (status == ST_OK)
        status = file_lock(path, &collect->lock_fd, err);
    return status == ST_BUSY ? err_set(err, ST_BUSY, "another collector works on %s; only one may",
                                       collect->program.config.state_dir)
                             : status;
}

static enum status open_store(struct collect *collect, struct err *err)
{
    const struct session_limits limits = {.max_policies = collect->program.config.max_policies,
                                          .max_details = collect->program.config.max_details,
                                          .busy_ms = BUSY_MS};
    char path[PATH_MAX];
    enum status status = state_path(collect, "sessions.db", path, err);

    if (status == ST_OK)
        status = session_store_open(path, SESSION_STORE_WRITE, &limits, &collect->store, err);
    if (status == ST_OK)
        status = session_store_get_mark(collect->store, &collect->mark, err);
    return status;
}

/* A ring of another size or version is counted to its end, then made anew; if that cannot be now, the old one
 * serves until the next start. */
static void remake_ring(struct collect *collect)
{
    struct err err;
    enum status status = collect_count_all(collect, &err);

    if (status == ST_OK)
        status = ring_remake(collect->ring, &err);
    if (status == ST_OK)
        LOG_FACT(EV_RING_REMADE, log_number("bytes", (int64_t)ring_capacity_bytes(collect->ring)));
    else
        LOG_FACT(EV_RING_KEPT, log_text("reason", err.text));
}

static enum status open_ring(struct collect *collect, struct err *err)
{
    const struct ring_position from = {collect->mark.ring_sequence, collect->mark.ring_dropped};
    char path[PATH_MAX];
    enum status status = state_path(collect, "ring", path, err);

    if (status == ST_OK)
        status = ring_open(path, (size_t)collect->program.config.ring_size, session_store_id(collect->store),
                           &from, &collect->ring, err);
    if (status == ST_OK && ring_is_outdated(collect->ring))
        remake_ring(collect);
    return status;
}

static enum status open_rest(struct collect *collect, struct err *err)
{
    collect->max_age_days = collect->program.config.max_age_days;
    collect->batch = listen_batch_new();
    collect->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    collect->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (collect->batch == NULL || collect->wakeup_fd < 0 || collect->stop_fd < 0)
        return err_set(err, ST_NOMEM, "out of memory or descriptors");
    return ST_OK;
}

static enum status open_all(struct collect *collect, struct err *err)
{
    static enum status (*const STEPS[])(struct collect *, struct err *) = {
        check_host, open_rest, read_allowed, lock_state, open_store, open_ring, open_sockets, open_exim,
    };
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(STEPS); i++)
        status = STEPS[i](collect, err);
    return status;
}

static void close_all(struct collect *collect)
{
    const int descriptors[] = {collect->wakeup_fd, collect->stop_fd, collect->lock_fd};

    exim_stream_free(&collect->exim);
    for (size_t i = 0; i < collect->listener_count; i++)
        listen_close(&collect->listeners[i]);
    ring_close(&collect->ring);
    session_store_close(&collect->store);
    listen_batch_free(&collect->batch);
    for (size_t i = 0; i < ARRAY_COUNT(descriptors); i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
}

/* ---- what the operator should know ---- */

/* The kernel's queue length, 0 if it cannot be known. */
static int64_t read_queue_length(const struct collect *collect)
{
    struct strbuf text;
    struct cursor cursor;
    int64_t length = 0;

    for (size_t i = 0; i < collect->listener_count; i++)
        if (!listen_is_at_home(&collect->listeners[i]))
            return 0; /* made in another network name space, which has a setting of its own */
    strbuf_init(&text, 64);
    if (file_read(QUEUE_FILE, &text, NULL) == ST_OK) {
        cursor_init(&cursor, text.data, text.len);
        length = (int64_t)cursor_take_number(&cursor, INT32_MAX);
    }
    strbuf_done(&text);
    return length;
}

/* Kept in the store for `tlsrpt-gen status`: since when, and with how long a queue; and for a fleet, whose
 * counts they are from now on. */
static enum status note_start(struct collect *collect, struct err *err)
{
    int64_t length = collect->queue_len;
    const struct hash_key random = hash_key_new();
    char text[24] = "", started[24], instance[40];
    enum status status = session_store_begin(collect->store, err);

    if (length > 0)
        (void)snprintf(text, sizeof text, "%lld", (long long)length);
    if (length > 0 && length < QUEUE_WANTED)
        LOG_FACT(EV_QUEUE_SHORT, log_number("max_dgram_qlen", length),
                 log_text("mend", "set sysctl net.unix.max_dgram_qlen=512, then start the collector again"));
    (void)snprintf(started, sizeof started, "%lld", (long long)clock_utc_s());
    if (status == ST_OK)
        status = session_store_set_note(collect->store, "max_dgram_qlen", text, err);
    if (status == ST_OK)
        status = session_store_set_note(collect->store, "started_s", started, err);
    (void)snprintf(instance, sizeof instance, "%016llx%016llx", (unsigned long long)random.words[0],
                   (unsigned long long)random.words[1]);
    if (status == ST_OK)
        status = session_store_set_note(collect->store, SESSION_INSTANCE_NOTE, instance, err);
    if (status == ST_OK)
        return session_store_commit(collect->store, err);
    session_store_rollback(collect->store);
    return status;
}

static void say_class(const struct collect *collect, struct watch *watch)
{
    static const struct {
        const char *name, *note;
    } CLASSES[] = {
        [RECEIVER_REALTIME] = {"realtime", NULL},
        [RECEIVER_NICE] = {"nice", "real-time priority was refused; LimitRTPRIO=10 in the unit allows it"},
        [RECEIVER_NORMAL] = {"normal", "a higher priority was refused; LimitRTPRIO=10 in the unit allows it"},
    };
    enum receiver_class class = (enum receiver_class)atomic_load(&collect->receiver_class);

    if (class == watch->said_class)
        return;
    watch->said_class = class;
    LOG_FACT(EV_RECEIVER_PRIORITY, log_text("class", CLASSES[class].name),
             log_text("note", CLASSES[class].note));
}

static void say_trouble(struct collect *collect, struct watch *watch, int64_t now_ms)
{
    uint64_t dropped = ring_dropped(collect->ring);
    int sys_errno = atomic_exchange(&collect->receive_errno, 0);

    if (sys_errno != 0)
        LOG_FACT(EV_RECEIVE_FAILED, log_text("reason", strerror(sys_errno)));
    if (dropped == watch->said_dropped || now_ms - watch->last_dropped_ms < DROPPED_EVERY_MS)
        return;
    LOG_FACT(EV_RING_FULL, log_number("dropped", (int64_t)(dropped - watch->said_dropped)),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(collect->ring)),
             log_text("mend", "see why the store does not take them; a larger ring_size buys time"));
    watch->said_dropped = dropped;
    watch->last_dropped_ms = now_ms;
}

static void notify_status(struct collect *collect, struct watch *watch, int64_t now_ms)
{
    char text[200];

    if (now_ms - watch->last_status_ms < STATUS_EVERY_MS)
        return;
    watch->last_status_ms = now_ms;
    (void)snprintf(text, sizeof text,
                   "STATUS=received %llu, stored %llu, malformed %llu, dropped %llu; %zu bytes wait",
                   (unsigned long long)atomic_load(&collect->received),
                   (unsigned long long)atomic_load(&collect->stored),
                   (unsigned long long)atomic_load(&collect->malformed),
                   (unsigned long long)ring_dropped(collect->ring), ring_used_bytes(collect->ring));
    service_notify(text);
}

/* WATCHDOG=1 only if both threads moved since the last one. */
static void feed_watchdog(struct collect *collect, struct watch *watch, int64_t now_ms)
{
    uint64_t receive_beats = atomic_load(&collect->receive_beats);
    uint64_t count_beats = atomic_load(&collect->count_beats);

    if (watch->watchdog_ms == 0 || now_ms - watch->last_watchdog_ms < watch->watchdog_ms)
        return;
    if (receive_beats == watch->receive_beats || count_beats == watch->count_beats)
        return;
    watch->last_watchdog_ms = now_ms;
    watch->receive_beats = receive_beats;
    watch->count_beats = count_beats;
    service_notify("WATCHDOG=1");
}

/* ---- running ---- */

static void block_signals(sigset_t *signals)
{
    static const int HANDLED[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

    (void)sigemptyset(signals);
    for (size_t i = 0; i < ARRAY_COUNT(HANDLED); i++)
        (void)sigaddset(signals, HANDLED[i]);
    (void)pthread_sigmask(SIG_BLOCK, signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* True: end. */
static bool handle_signal(struct collect *collect, int signal_number)
{
    if (signal_number == SIGHUP)
        LOG_FACT(EV_COLLECTOR_RELOADED,
                 log_text("note", "nothing needs to be opened again; settings are read at start only"));
    if (signal_number == SIGUSR1) {
        atomic_store(&collect->wants_counters, true);
        collect_wake(collect);
    }
    return signal_number == SIGTERM || signal_number == SIGINT;
}

static void watch_until_stopped(struct collect *collect, struct watch *watch, const sigset_t *signals)
{
    const struct timespec tick = {.tv_sec = COLLECT_TICK_MS / 1000};

    while (!handle_signal(collect, sigtimedwait(signals, NULL, &tick))) {
        int64_t now_ms = clock_monotonic_ms();

        say_class(collect, watch);
        say_trouble(collect, watch, now_ms);
        notify_status(collect, watch, now_ms);
        feed_watchdog(collect, watch, now_ms);
    }
}

static enum status start_threads(struct collect *collect, struct watch *watch, struct err *err)
{
    int code = pthread_create(&watch->counting, NULL, collect_count_run, collect);

    if (code != 0)
        return err_set_errno(err, ST_NOMEM, code, "start a thread");
    code = pthread_create(&watch->receiving, NULL, collect_receive_run, collect);
    if (code == 0)
        return ST_OK;
    atomic_store(&collect->is_receiver_done, true);
    atomic_store(&collect->is_stopping, true);
    collect_wake(collect);
    (void)pthread_join(watch->counting, NULL);
    return err_set_errno(err, ST_NOMEM, code, "start a thread");
}

/* Receive what is queued, then count it; both within the deadline. */
static void stop_threads(struct collect *collect, struct watch *watch)
{
    service_notify("STOPPING=1");
    atomic_store(&collect->deadline_ms, clock_monotonic_ms() + COLLECT_DEADLINE_MS);
    atomic_store(&collect->is_stopping, true);
    (void)eventfd_write(collect->stop_fd, 1);
    collect_wake(collect);
    (void)pthread_join(watch->receiving, NULL);
    (void)pthread_join(watch->counting, NULL);
    say_class(collect, watch);
}

static enum status serve(struct collect *collect, const sigset_t *signals, struct err *err)
{
    struct watch watch = {.watchdog_ms = service_watchdog_ms(),
                          .last_dropped_ms = -DROPPED_EVERY_MS,
                          .said_dropped = ring_dropped(collect->ring)};
    enum status status = start_threads(collect, &watch, err);

    if (status != ST_OK)
        return status;
    service_notify("READY=1");
    LOG_FACT(EV_COLLECTOR_STARTED, log_text("version", TLSRPT_GEN_VERSION),
             log_number("sockets", (int64_t)collect->listener_count),
             log_text("state_dir", collect->program.config.state_dir),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(collect->ring)));
    watch_until_stopped(collect, &watch, signals);
    stop_threads(collect, &watch);
    LOG_FACT(EV_COLLECTOR_STOPPED, log_number("received", (int64_t)atomic_load(&collect->received)),
             log_number("stored", (int64_t)atomic_load(&collect->stored)),
             log_number("malformed", (int64_t)atomic_load(&collect->malformed)),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(collect->ring)));
    return ST_OK;
}

static enum status run(struct collect *collect, struct err *err)
{
    sigset_t signals;
    enum status status;

    block_signals(&signals);
    status = open_all(collect, err);
    collect->queue_len = status == ST_OK ? read_queue_length(collect) : 0;
    if (status == ST_OK)
        status = note_start(collect, err);
    if (status == ST_OK)
        status = serve(collect, &signals, err);
    close_all(collect);
    return status;
}

/* ---- command line ---- */

static int usage(void)
{
    fputs("Usage: tlsrpt-gen-collect [-c FILE] [-o KEY=VALUE]...\n"
          "Receive session outcomes of MTAs and count them for tlsrpt-gen.\n\n"
          "  -c, --config FILE   settings (default " CONFIG_DEFAULT_FILE ")\n"
          "  -o KEY=VALUE        a setting that wins over the file\n"
          "      --foreground    stay in the foreground; it always does\n"
          "  -h, --help          this text\n"
          "  -V, --version       the version\n\nSettings:\n",
          stdout);
    config_help(stdout);
    return 0;
}

/* -1: go on; else the exit code. */
static int take_options(struct program *program, int argc, char **argv)
{
    static const struct option LONG_OPTIONS[] = {
        PROGRAM_LONG_OPTIONS, {"foreground", no_argument, NULL, 'F'}, {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, PROGRAM_SHORT_OPTIONS, LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h')
            return usage();
        if (option == 'V') {
            program_print_version(program);
            return 0;
        }
        if (option != 'F' && !program_take_option(program, option, optarg))
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
    static struct collect collect = {
        .program = {.name = "tlsrpt-gen-collect", .config_path = CONFIG_DEFAULT_FILE},
        .wakeup_fd = -1,
        .lock_fd = -1,
        .stop_fd = -1};
    struct err err;
    enum status status;
    int code = take_options(&collect.program, argc, argv);

    if (code >= 0)
        return code;
    log_open(collect.program.name, LOG_TO_STDERR);
    status = program_load_config(&collect.program, false, &err);
    if (status == ST_OK)
        status = run(&collect, &err);
    code = status == ST_OK ? 0 : program_fail(&collect.program, &err);
    config_done(&collect.program.config);
    return code;
}
