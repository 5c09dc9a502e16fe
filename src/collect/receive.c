/* SPDX-License-Identifier: MIT */
/*
 * The receiving thread: from the sockets into the ring, as fast as may be.
 *
 * Senders do not wait: what finds a socket's queue full is lost.  So nothing here takes a lock, allocates,
 * logs or waits for a disk.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "collect/collect.h"

#define REALTIME_PRIORITY 10
#define NICE_VALUE        (-10)
#define CUT_BYTES         256 /* kept of a datagram that was too long, for the log */
#define FULL_WAIT_MS      1000 /* how long datagrams may wait in the kernel for room, while the store is away */
#define SLOW_WAIT_MS      30000 /* and while it is only slow */
#define LAST_WAIT_MS      1000  /* how long an inherited socket is emptied when we end */

/* More datagrams a second than this, for one window, are a rush; less than half of it, for CALM_WINDOWS, end
 * it. */
#define RUSH_PER_S   100000
#define WINDOW_NS    5000000
#define CALM_WINDOWS 20
#define NAP_US       100
#define NAP_QUEUE    256 /* twice what the fastest sender that was measured sends in a nap */

/*
 * In a rush outcomes come faster than a thread can be woken for each: that costs more than half of the
 * throughput, and a thread with real-time priority interrupts whoever runs for every single one.  So in a
 * rush it naps between its turns, as long as the queue surely takes what comes meanwhile; where the queue is
 * too short for that, it gives up its priority instead, and takes what has gathered when its turn comes.
 */
struct pace {
    int64_t window_begin_ns;
    uint64_t in_window;
    unsigned calm_windows;
    bool is_rush;
};

struct receiver {
    struct collect *collect;
    bool is_ring_full; /* waiting for room was in vain: drop until there is some */
    enum receiver_class class;
    struct pace pace;
};

static bool set_realtime(bool is_wanted)
{
    const struct sched_param param = {.sched_priority = is_wanted ? REALTIME_PRIORITY : 0};

    return pthread_setschedparam(pthread_self(), is_wanted ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

/* A short queue is lost by scheduling, not by work: ask for the processor first. */
static enum receiver_class take_priority(void)
{
    if (set_realtime(true))
        return RECEIVER_REALTIME;
    if (setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_VALUE) == 0)
        return RECEIVER_NICE;
    return RECEIVER_NORMAL;
}

static bool can_nap(const struct receiver *receiver)
{
    return receiver->collect->queue_len >= NAP_QUEUE;
}

static void set_rush(struct receiver *receiver, bool is_rush)
{
    receiver->pace.is_rush = is_rush;
    receiver->pace.calm_windows = 0;
    if (receiver->class == RECEIVER_REALTIME && !can_nap(receiver))
        (void)set_realtime(!is_rush);
}

static void watch_pace(struct receiver *receiver, uint64_t count, int64_t now_ns)
{
    struct pace *pace = &receiver->pace;
    int64_t window_ns = now_ns - pace->window_begin_ns;
    uint64_t per_s;

    pace->in_window += count;
    if (window_ns >= 0 && window_ns < WINDOW_NS)
        return;
    per_s = window_ns > 0 ? pace->in_window * 1000000000 / (uint64_t)window_ns : 0;
    pace->window_begin_ns = now_ns;
    pace->in_window = 0;
    pace->calm_windows = per_s < RUSH_PER_S / 2 ? pace->calm_windows + 1 : 0;
    if (!pace->is_rush && per_s > RUSH_PER_S)
        set_rush(receiver, true);
    else if (pace->is_rush && pace->calm_windows >= CALM_WINDOWS)
        set_rush(receiver, false);
}

static bool is_allowed(const struct collect *collect, const struct listen_datagram *datagram)
{
    if (collect->allowed_count == 0)
        return true;
    for (size_t i = 0; datagram->has_uid && i < collect->allowed_count; i++)
        if (collect->allowed[i] == datagram->uid)
            return true;
    return false;
}

static bool append(struct collect *collect, const struct listen_datagram *datagram, int64_t now_ns)
{
    if (!is_allowed(collect, datagram))
        return ring_append(collect->ring, RING_REFUSED, &datagram->uid, sizeof datagram->uid, now_ns);
    if (datagram->is_truncated)
        return ring_append(collect->ring, RING_CUT, datagram->bytes,
                           datagram->len < CUT_BYTES ? datagram->len : CUT_BYTES, now_ns);
    return ring_append(collect->ring, RING_DATAGRAM, datagram->bytes, datagram->len, now_ns);
}

/* Has waiting for room in the ring become vain? */
static bool is_enough(const struct receiver *receiver, int waited_ms)
{
    if (receiver->is_ring_full)
        return true;
    return waited_ms >= (atomic_load(&receiver->collect->is_store_away) ? FULL_WAIT_MS : SLOW_WAIT_MS);
}

/*
 * Append; where the ring is full, first let senders feel it (what we do not take waits in the kernel, and
 * when its queue is full they are told).  Only when the store stays away drop the newest, counted.
 */
static void append_or_drop(struct receiver *receiver, const struct listen_datagram *datagram, int64_t now_ns)
{
    struct collect *collect = receiver->collect;

    for (int waited_ms = 0; !append(collect, datagram, now_ns); waited_ms++) {
        if (is_enough(receiver, waited_ms)) {
            receiver->is_ring_full = true;
            ring_drop(collect->ring, 1);
            return;
        }
        ring_publish(collect->ring);
        collect_wake_if_resting(collect);
        clock_sleep_ms(1);
        (void)atomic_fetch_add(&collect->receive_beats, 1);
    }
    receiver->is_ring_full = false;
}

/* is_stamping is up from before the clock is read until the datagrams can be seen in the ring: see
 * counted_through in collect_count.c. */
static void keep(struct receiver *receiver, size_t count)
{
    struct collect *collect = receiver->collect;
    int64_t now_ns;

    atomic_store(&collect->is_stamping, true);
    now_ns = clock_utc_ns();
    for (size_t i = 0; i < count; i++) {
        struct listen_datagram datagram;

        listen_batch_get(collect->batch, i, &datagram);
        append_or_drop(receiver, &datagram, now_ns);
    }
    ring_publish(collect->ring);
    atomic_store(&collect->is_stamping, false);
    watch_pace(receiver, count, now_ns);
    (void)atomic_fetch_add_explicit(&collect->received, count, memory_order_relaxed);
    collect_wake_if_resting(collect);
}

/* ---- Exim's stream sockets ---- */

struct exim_lines {
    struct receiver *receiver;
    int64_t now_ns;
    uint64_t count;
};

static void keep_line(void *context, const char *bytes, size_t len, bool is_cut, uid_t uid)
{
    struct exim_lines *lines = context;
    const struct listen_datagram datagram = {
        .bytes = bytes, .len = len, .is_truncated = is_cut, .has_uid = true, .uid = uid};

    append_or_drop(lines->receiver, &datagram, lines->now_ns);
    lines->count++;
}

/* As keep, for lines; a line is in the ring before its connection is closed. */
static void serve_exim(struct receiver *receiver)
{
    struct collect *collect = receiver->collect;
    struct exim_lines lines = {.receiver = receiver};

    if (collect->exim == NULL)
        return;
    atomic_store(&collect->is_stamping, true);
    lines.now_ns = clock_utc_ns();
    exim_stream_serve(collect->exim, clock_monotonic_ms(), keep_line, &lines);
    ring_publish(collect->ring);
    atomic_store(&collect->is_stamping, false);
    if (lines.count == 0)
        return;
    watch_pace(receiver, lines.count, lines.now_ns);
    (void)atomic_fetch_add_explicit(&collect->received, lines.count, memory_order_relaxed);
    collect_wake_if_resting(collect);
}

/* ---- all sockets ---- */

/* Take what waits on one socket; false when nothing did. */
static bool take(struct receiver *receiver, struct listener *listener)
{
    int count = listener->is_stream ? 0 : listen_receive(listener, receiver->collect->batch);

    if (count < 0) {
        atomic_store(&receiver->collect->receive_errno, errno);
        clock_sleep_ms(10);
    }
    if (count > 0)
        keep(receiver, (size_t)count);
    return count > 0;
}

static int wait_ms(const struct collect *collect)
{
    int exim_ms = collect->exim != NULL ? exim_stream_timeout_ms(collect->exim, clock_monotonic_ms()) : -1;

    return exim_ms >= 0 && exim_ms < COLLECT_TICK_MS ? exim_ms : COLLECT_TICK_MS;
}

static bool take_from_all(struct receiver *receiver)
{
    struct collect *collect = receiver->collect;
    bool is_any = false;

    for (size_t i = 0; i < collect->listener_count; i++)
        is_any = take(receiver, &collect->listeners[i]) || is_any;
    serve_exim(receiver);
    return is_any;
}

/* Until something is there to be taken. */
static void wait_for_more(struct receiver *receiver, bool was_any, struct pollfd *polls, nfds_t count)
{
    if (!receiver->pace.is_rush || !can_nap(receiver)) {
        (void)poll(polls, count, wait_ms(receiver->collect));
    } else if (!was_any) {
        clock_sleep_us(NAP_US);
        watch_pace(receiver, 0, clock_utc_ns()); /* it ends even if nothing comes any more */
    }
}

static void receive_until_stopped(struct receiver *receiver)
{
    struct collect *collect = receiver->collect;
    struct pollfd polls[LISTEN_SOCKETS_MAX + 2];
    nfds_t count = 0;

    for (size_t i = 0; i < collect->listener_count; i++)
        if (!collect->listeners[i].is_stream)
            polls[count++] = (struct pollfd){.fd = collect->listeners[i].fd, .events = POLLIN};
    if (collect->exim != NULL)
        polls[count++] = (struct pollfd){.fd = exim_stream_fd(collect->exim), .events = POLLIN};
    polls[count++] = (struct pollfd){.fd = collect->stop_fd, .events = POLLIN};
    while (!atomic_load(&collect->is_stopping)) {
        wait_for_more(receiver, take_from_all(receiver), polls, count);
        (void)atomic_fetch_add_explicit(&collect->receive_beats, 1, memory_order_relaxed);
    }
}

/* No more can come to our own sockets; all that senders believe sent is taken. */
static void receive_the_rest(struct receiver *receiver)
{
    struct collect *collect = receiver->collect;
    int64_t deadline_ms = clock_monotonic_ms() + LAST_WAIT_MS;

    for (size_t i = 0; i < collect->listener_count; i++)
        listen_stop(&collect->listeners[i]);
    for (size_t i = 0; i < collect->listener_count; i++)
        while (take(receiver, &collect->listeners[i]))
            if (collect->listeners[i].is_inherited && clock_monotonic_ms() >= deadline_ms)
                break;
    serve_exim(receiver);
}

void *collect_receive_run(void *argument)
{
    struct receiver receiver = {.collect = argument};

    receiver.class = take_priority();
    atomic_store(&receiver.collect->receiver_class, receiver.class);
    receive_until_stopped(&receiver);
    receive_the_rest(&receiver);
    atomic_store(&receiver.collect->is_receiver_done, true);
    collect_wake(receiver.collect);
    return NULL;
}

void collect_wake(struct collect *collect)
{
    atomic_store(&collect->rest, REST_AWAKE);
    (void)eventfd_write(collect->wakeup_fd, 1);
}

void collect_wake_if_resting(struct collect *collect)
{
    int rest = atomic_load(&collect->rest);

    if (rest == REST_AWAKE)
        return;
    if (rest == REST_LINGERING &&
        ring_used_bytes(collect->ring) < ring_capacity_bytes(collect->ring) / COLLECT_RUSH_SHARE)
        return;
    if (atomic_compare_exchange_strong(&collect->rest, &rest, REST_AWAKE))
        (void)eventfd_write(collect->wakeup_fd, 1);
}
