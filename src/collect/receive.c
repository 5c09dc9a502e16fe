/* SPDX-License-Identifier: MIT */
/*
 * The receiving thread: from the sockets into the ring.
 *
 * MTAs do not wait: a datagram is lost if the socket's queue is full.  So this thread takes no lock,
 * allocates and logs nothing, and does not wait for a disk.  Each turn it takes up to LISTEN_BATCH datagrams
 * from every socket and all lines of Exim, appends them to the ring, wakes the counting thread if that must
 * know, and polls again.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "threads.h"

#define REALTIME_PRIORITY 10
#define NICE_VALUE        (-10)
#define CUT_BYTES         256   /* kept of a datagram that was too long, for the log */
#define FULL_WAIT_MS      1000  /* wait for room in a full ring while the store fails */
#define SLOW_WAIT_MS      30000 /* and while it is only slow */
#define LAST_WAIT_MS      1000  /* for emptying an inherited socket at the end */

/* A rush starts above this rate in one window, and ends after CALM_WINDOWS windows below half of it. */
#define RUSH_PER_S   100000
#define WINDOW_NS    5000000
#define CALM_WINDOWS 20
#define NAP_US       100
#define NAP_QUEUE    256 /* twice what the fastest sender measured sends in a nap */

/*
 * In a rush, waking up for each datagram costs more than half of the throughput, and with real-time priority
 * it interrupts whoever runs.  So in a rush the thread naps between its turns, if the queue is long enough
 * for what arrives meanwhile; with a shorter queue it gives up its priority instead and takes what has
 * gathered when its turn comes.
 */
struct pace {
    int64_t window_begin_ns;
    uint64_t in_window;
    unsigned calm_windows;
    bool is_rush;
};

struct receiver {
    struct collector *collector;
    bool is_ring_full; /* no room after the longest wait: drop until there is some */
    enum receiver_class class;
    struct pace pace;
};

static bool set_realtime(bool is_wanted)
{
    const struct sched_param param = {.sched_priority = is_wanted ? REALTIME_PRIORITY : 0};

    return pthread_setschedparam(pthread_self(), is_wanted ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

/* A short queue overflows while the thread waits for a processor, so ask for one before others. */
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
    return receiver->collector->queue_len >= NAP_QUEUE;
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

static bool is_allowed(const struct collector *collector, const struct listen_datagram *datagram)
{
    if (collector->allowed_count == 0)
        return true;
    for (size_t i = 0; datagram->has_uid && i < collector->allowed_count; i++)
        if (collector->allowed[i] == datagram->uid)
            return true;
    return false;
}

static bool append(struct collector *collector, const struct listen_datagram *datagram, int64_t now_ns)
{
    if (!is_allowed(collector, datagram))
        return ring_append(collector->ring, RING_REFUSED, &datagram->uid, sizeof datagram->uid, now_ns);
    if (datagram->is_truncated)
        return ring_append(collector->ring, RING_CUT, datagram->bytes,
                           datagram->len < CUT_BYTES ? datagram->len : CUT_BYTES, now_ns);
    return ring_append(collector->ring, RING_DATAGRAM, datagram->bytes, datagram->len, now_ns);
}

/* Has it waited long enough for room in the ring? */
static bool is_enough(const struct receiver *receiver, int waited_ms)
{
    if (receiver->is_ring_full)
        return true;
    return waited_ms >= (atomic_load(&receiver->collector->is_store_away) ? FULL_WAIT_MS : SLOW_WAIT_MS);
}

/*
 * Append.  If the ring is full, first wait: datagrams stay in the kernel, whose full queue makes senders wait
 * or fail.  If there is still no room, drop this one and count it.
 */
static void append_or_drop(struct receiver *receiver, const struct listen_datagram *datagram, int64_t now_ns)
{
    struct collector *collector = receiver->collector;

    for (int waited_ms = 0; !append(collector, datagram, now_ns); waited_ms++) {
        if (is_enough(receiver, waited_ms)) {
            receiver->is_ring_full = true;
            ring_drop(collector->ring, 1);
            return;
        }
        ring_publish(collector->ring);
        counter_wake_if_resting(collector);
        clock_sleep_ms(1);
        (void)atomic_fetch_add(&collector->receive_beats, 1);
    }
    receiver->is_ring_full = false;
}

/* Before end_stamping, gather in count.c must not move the mark to now. */
static int64_t begin_stamping(struct receiver *receiver)
{
    atomic_store(&receiver->collector->is_stamping, true);
    return clock_utc_ns();
}

/* The ring has count datagrams of that time. */
static void end_stamping(struct receiver *receiver, uint64_t count, int64_t now_ns)
{
    struct collector *collector = receiver->collector;

    ring_publish(collector->ring);
    atomic_store(&collector->is_stamping, false);
    if (count == 0)
        return;
    watch_pace(receiver, count, now_ns);
    (void)atomic_fetch_add_explicit(&collector->received, count, memory_order_relaxed);
    counter_wake_if_resting(collector);
}

static void keep(struct receiver *receiver, size_t count)
{
    int64_t now_ns = begin_stamping(receiver);

    for (size_t i = 0; i < count; i++) {
        struct listen_datagram datagram;

        listen_batch_get(receiver->collector->batch, i, &datagram);
        append_or_drop(receiver, &datagram, now_ns);
    }
    end_stamping(receiver, count, now_ns);
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

/* As keep, for lines; a line is in the ring before its connection closes. */
static void serve_exim(struct receiver *receiver)
{
    struct exim_lines lines = {.receiver = receiver};

    if (receiver->collector->exim == NULL)
        return;
    lines.now_ns = begin_stamping(receiver);
    exim_stream_serve(receiver->collector->exim, clock_monotonic_ms(), keep_line, &lines);
    end_stamping(receiver, lines.count, lines.now_ns);
}

/* ---- all sockets ---- */

/* Take what one socket's queue holds; false: nothing. */
static bool take(struct receiver *receiver, struct listener *listener)
{
    int count = listener->is_stream ? 0 : listen_receive(listener, receiver->collector->batch);

    if (count < 0) {
        atomic_store(&receiver->collector->receive_errno, errno);
        clock_sleep_ms(10);
    }
    if (count > 0)
        keep(receiver, (size_t)count);
    return count > 0;
}

static int wait_ms(const struct collector *collector)
{
    int exim_ms =
        collector->exim != NULL ? exim_stream_timeout_ms(collector->exim, clock_monotonic_ms()) : -1;

    return exim_ms >= 0 && exim_ms < COLLECT_TICK_MS ? exim_ms : COLLECT_TICK_MS;
}

static bool take_from_all(struct receiver *receiver)
{
    struct collector *collector = receiver->collector;
    bool is_any = false;

    for (size_t i = 0; i < collector->listener_count; i++)
        is_any = take(receiver, &collector->listeners[i]) || is_any;
    serve_exim(receiver);
    return is_any;
}

/* Wait until a socket is readable. */
static void wait_for_more(struct receiver *receiver, bool was_any, struct pollfd *polls, nfds_t count)
{
    if (!receiver->pace.is_rush || !can_nap(receiver)) {
        (void)poll(polls, count, wait_ms(receiver->collector));
    } else if (!was_any) {
        clock_sleep_us(NAP_US);
        watch_pace(receiver, 0, clock_utc_ns()); /* the rush ends even if nothing more arrives */
    }
}

static void receive_until_stopped(struct receiver *receiver)
{
    struct collector *collector = receiver->collector;
    struct pollfd polls[LISTEN_SOCKETS_MAX + 2];
    nfds_t count = 0;

    for (size_t i = 0; i < collector->listener_count; i++)
        if (!collector->listeners[i].is_stream)
            polls[count++] = (struct pollfd){.fd = collector->listeners[i].fd, .events = POLLIN};
    if (collector->exim != NULL)
        polls[count++] = (struct pollfd){.fd = exim_stream_fd(collector->exim), .events = POLLIN};
    polls[count++] = (struct pollfd){.fd = collector->stop_fd, .events = POLLIN};
    while (!atomic_load(&collector->is_stopping)) {
        wait_for_more(receiver, take_from_all(receiver), polls, count);
        (void)atomic_fetch_add_explicit(&collector->receive_beats, 1, memory_order_relaxed);
    }
}

/* Close our own sockets to senders, then take everything that senders believe sent. */
static void receive_the_rest(struct receiver *receiver)
{
    struct collector *collector = receiver->collector;
    int64_t deadline_ms = clock_monotonic_ms() + LAST_WAIT_MS;

    for (size_t i = 0; i < collector->listener_count; i++)
        listen_stop(&collector->listeners[i]);
    for (size_t i = 0; i < collector->listener_count; i++)
        while (take(receiver, &collector->listeners[i]))
            if (collector->listeners[i].is_inherited && clock_monotonic_ms() >= deadline_ms)
                break;
    serve_exim(receiver);
}

void *receive_run(void *argument)
{
    struct receiver receiver = {.collector = argument};

    receiver.class = take_priority();
    atomic_store(&receiver.collector->receiver_class, receiver.class);
    receive_until_stopped(&receiver);
    receive_the_rest(&receiver);
    atomic_store(&receiver.collector->is_receiver_done, true);
    counter_wake(receiver.collector);
    return NULL;
}
