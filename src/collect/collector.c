/* SPDX-License-Identifier: MIT */
/*
 * The collector's main thread: it opens everything (open.c), starts the receiving and the counting thread,
 * and once a second logs what the receiving thread noticed and reports to the service manager, until SIGTERM
 * or SIGINT.  Then the receiving thread takes what the sockets still hold and the counting thread empties the
 * ring, both within COLLECT_DEADLINE_MS.
 *
 * SIGHUP does the same, but the sockets stay open, and the program executes itself with them, as a service manager would
 * start it: what senders send meanwhile waits in the sockets.  The process keeps its number, so that no supervisor notices.
 */
#include "collect/collector.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "durable.h"
#include "service.h"
#include "threads.h"

#define STATUS_EVERY_MS  10000
#define DROPPED_EVERY_MS 60000

/* What the main thread remembers between two ticks. */
struct watch {
    int64_t watchdog_ms; /* 0: the service manager wants none */
    int64_t last_watchdog_ms;
    int64_t last_status_ms;
    int64_t last_dropped_ms;
    uint64_t logged_dropped;
    uint64_t receive_beats, count_beats; /* at the last WATCHDOG=1 */
    enum receiver_class logged_class;
    struct durable durable;
    bool is_restarting; /* SIGHUP came */
};

/* ---- each tick ---- */

static void log_receiver_class(const struct collector *collector, struct watch *watch)
{
    static const struct {
        const char *name, *note;
    } CLASSES[] = {
        [RECEIVER_REALTIME] = {"realtime", NULL},
        [RECEIVER_NICE] = {"nice", "real-time priority was refused; LimitRTPRIO=10 in the unit allows it"},
        [RECEIVER_NORMAL] = {"normal", "a higher priority was refused; LimitRTPRIO=10 in the unit allows it"},
    };
    enum receiver_class class = (enum receiver_class)atomic_load(&collector->receiver_class);

    if (class == watch->logged_class)
        return;
    watch->logged_class = class;
    LOG_FACT(EV_RECEIVER_PRIORITY, log_text("class", CLASSES[class].name),
             log_text("note", CLASSES[class].note));
}

static void log_receive_errors(struct collector *collector, struct watch *watch, int64_t now_ms)
{
    uint64_t dropped = ring_dropped(collector->ring);
    int sys_errno = atomic_exchange(&collector->receive_errno, 0);

    if (sys_errno != 0)
        LOG_FACT(EV_RECEIVE_FAILED, log_text("reason", strerror(sys_errno)));
    if (dropped == watch->logged_dropped || now_ms - watch->last_dropped_ms < DROPPED_EVERY_MS)
        return;
    LOG_FACT(EV_RING_FULL, log_number("dropped", (int64_t)(dropped - watch->logged_dropped)),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(collector->ring)),
             log_text("mend", "see why the store does not take them; a larger ring_size buys time"));
    watch->logged_dropped = dropped;
    watch->last_dropped_ms = now_ms;
}

static void notify_status(struct collector *collector, struct watch *watch, int64_t now_ms)
{
    char text[200];

    if (now_ms - watch->last_status_ms < STATUS_EVERY_MS)
        return;
    watch->last_status_ms = now_ms;
    (void)snprintf(text, sizeof text,
                   "STATUS=received %llu, stored %llu, malformed %llu, dropped %llu; %zu bytes wait",
                   (unsigned long long)atomic_load(&collector->received),
                   (unsigned long long)atomic_load(&collector->stored),
                   (unsigned long long)atomic_load(&collector->malformed),
                   (unsigned long long)ring_dropped(collector->ring), ring_used_bytes(collector->ring));
    service_notify(text);
}

/* WATCHDOG=1 only if both threads moved since the last one. */
static void feed_watchdog(struct collector *collector, struct watch *watch, int64_t now_ms)
{
    uint64_t receive_beats = atomic_load(&collector->receive_beats);
    uint64_t count_beats = atomic_load(&collector->count_beats);

    if (watch->watchdog_ms == 0 || now_ms - watch->last_watchdog_ms < watch->watchdog_ms)
        return;
    if (receive_beats == watch->receive_beats || count_beats == watch->count_beats)
        return;
    watch->last_watchdog_ms = now_ms;
    watch->receive_beats = receive_beats;
    watch->count_beats = count_beats;
    service_notify("WATCHDOG=1");
}

/* ---- signals ---- */

static void block_signals(sigset_t *signals)
{
    static const int HANDLED[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

    (void)sigemptyset(signals);
    for (size_t i = 0; i < ARRAY_COUNT(HANDLED); i++)
        (void)sigaddset(signals, HANDLED[i]);
    (void)pthread_sigmask(SIG_BLOCK, signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* True: stop. */
static bool handle_signal(struct collector *collector, struct watch *watch, int signal_number)
{
    watch->is_restarting = signal_number == SIGHUP;
    if (signal_number == SIGUSR1) {
        atomic_store(&collector->wants_counters, true);
        counter_wake(collector);
    }
    return signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGHUP;
}

static void watch_until_stopped(struct collector *collector, struct watch *watch, const sigset_t *signals)
{
    const int64_t tick_ms = durable_tick_ms(collector);
    const struct timespec tick = {.tv_sec = tick_ms / 1000, .tv_nsec = tick_ms % 1000 * 1000000};

    while (!handle_signal(collector, watch, sigtimedwait(signals, NULL, &tick))) {
        int64_t now_ms = clock_monotonic_ms();

        log_receiver_class(collector, watch);
        log_receive_errors(collector, watch, now_ms);
        notify_status(collector, watch, now_ms);
        feed_watchdog(collector, watch, now_ms);
        durable_tick(collector, &watch->durable, now_ms);
    }
}

/* ---- threads ---- */

static void keep_sockets(struct collector *collector)
{
    for (size_t i = 0; i < collector->listener_count; i++)
        listen_keep(&collector->listeners[i]);
}

static void stop_receiving(struct collector *collector)
{
    atomic_store(&collector->deadline_ms, clock_monotonic_ms() + COLLECT_DEADLINE_MS);
    atomic_store(&collector->is_stopping, true);
    (void)eventfd_write(collector->stop_fd, 1);
    counter_wake(collector);
}

static enum status start_threads(struct collector *collector, pthread_t *receiving, pthread_t *counting,
                                 struct err *err)
{
    int code = pthread_create(counting, NULL, counter_run, collector->counter);

    if (code != 0)
        return err_set_errno(err, ST_NOMEM, code, "start a thread");
    code = pthread_create(receiving, NULL, receive_run, collector);
    if (code == 0)
        return ST_OK;
    atomic_store(&collector->is_receiver_done, true);
    stop_receiving(collector);
    (void)pthread_join(*counting, NULL);
    return err_set_errno(err, ST_NOMEM, code, "start a thread");
}

static enum status serve(struct collector *collector, const sigset_t *signals, bool *is_restarting_out,
                         struct err *err)
{
    struct watch watch = {.watchdog_ms = service_watchdog_ms(),
                          .last_dropped_ms = -DROPPED_EVERY_MS,
                          .logged_dropped = ring_dropped(collector->ring)};
    size_t waiting_bytes = ring_used_bytes(collector->ring); /* before the counting thread takes them */
    pthread_t receiving, counting;
    enum status status = start_threads(collector, &receiving, &counting, err);

    if (status != ST_OK) {
        LOG_FACT(EV_FATAL, log_text("reason", err->text));
        return status;
    }
    service_notify("READY=1");
    LOG_FACT(EV_COLLECTOR_STARTED, log_text("version", TLSRPT_GEN_VERSION),
             log_number("sockets", (int64_t)collector->listener_count),
             log_text("state_dir", collector->config->state_dir),
             log_number("waiting_bytes", (int64_t)waiting_bytes));
    watch_until_stopped(collector, &watch, signals);
    if (watch.is_restarting)
        keep_sockets(collector);
    else
        service_notify("STOPPING=1");
    stop_receiving(collector);
    (void)pthread_join(receiving, NULL);
    (void)pthread_join(counting, NULL);
    log_receiver_class(collector, &watch);
    LOG_FACT(EV_COLLECTOR_STOPPED, log_number("received", (int64_t)atomic_load(&collector->received)),
             log_number("stored", (int64_t)atomic_load(&collector->stored)),
             log_number("malformed", (int64_t)atomic_load(&collector->malformed)),
             log_number("waiting_bytes", (int64_t)ring_used_bytes(collector->ring)));
    *is_restarting_out = watch.is_restarting;
    return ST_OK;
}

/* ---- the whole ---- */

/* The sockets that the next program gets; none unless it is wanted. */
struct kept {
    bool is_restarting;
    int fds[LISTEN_SOCKETS_MAX];
    size_t count;
};

static enum status copy_sockets(const struct collector *collector, struct kept *kept, struct err *err)
{
    enum status status = ST_OK;

    for (kept->count = 0; status == ST_OK && kept->count < collector->listener_count; kept->count++)
        status = listen_copy(&collector->listeners[kept->count], &kept->fds[kept->count], err);
    return status;
}

/* Returns only if it fails. */
static enum status execute_again(const struct kept *kept, char *const argv[], struct err *err)
{
    enum status status = listen_pass(kept->fds, kept->count, err);

    if (status != ST_OK)
        return status;
    (void)execvp(argv[0], argv);
    return err_set_errno(err, ST_IO, errno, "start %s again", argv[0]);
}

enum status collector_run(const struct config *config, char *const argv[], struct err *err)
{
    struct collector collector;
    struct kept kept = {0};
    sigset_t signals;
    enum status status;

    block_signals(&signals);
    status = collector_open(&collector, config, err);
    if (status == ST_OK)
        status = serve(&collector, &signals, &kept.is_restarting, err);
    if (status == ST_OK && kept.is_restarting)
        status = copy_sockets(&collector, &kept, err);
    collector_close(&collector);
    return status == ST_OK && kept.is_restarting ? execute_again(&kept, argv, err) : status;
}
