/* SPDX-License-Identifier: MIT */
/*
 * collect.h - what the collector's three threads share.
 *
 *   receiving thread (collect_receive.c)   sockets -> ring; no lock, no allocation, no logging
 *   counting thread  (collect_count.c)     ring -> aggregate -> store, one transaction per batch
 *   main thread      (tlsrpt-gen-collect.c) signals, watchdog, what the receiving thread has to say
 *
 * They meet in the ring and in the atomic fields below.
 */
#ifndef COLLECT_COLLECT_H
#define COLLECT_COLLECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app/program.h"
#include "listen/exim_stream.h"
#include "listen/listen.h"
#include "ring/ring.h"
#include "store/session_store.h"

#define COLLECT_RUSH_SHARE  3 /* a ring that is filled by a third waits for no linger */
#define COLLECT_UIDS_MAX    64
#define COLLECT_TICK_MS     1000  /* every thread shows that it lives at least that often */
#define COLLECT_DEADLINE_MS 20000 /* for counting what is left when we are told to end */

/* What the counting thread is doing, and so whether it must be woken. */
enum rest {
    REST_AWAKE,
    REST_LINGERING, /* it lets a batch grow: wake it only when the ring fills up */
    REST_ASLEEP,    /* nothing to do: wake it for anything */
};

/* What the kernel gave the receiving thread. */
enum receiver_class {
    RECEIVER_UNKNOWN, /* not asked yet */
    RECEIVER_REALTIME,
    RECEIVER_NICE,
    RECEIVER_NORMAL,
};

struct collect {
    /* set up before the threads start */
    struct program program;
    struct session_store *store; /* the counting thread's while it runs */
    struct session_mark mark;    /* as committed; likewise */
    struct ring *ring;
    struct listener listeners[LISTEN_SOCKETS_MAX];
    size_t listener_count;
    struct listen_batch *batch; /* the receiving thread's */
    struct exim_stream *exim;   /* likewise; NULL: there is no stream socket */
    uid_t allowed[COLLECT_UIDS_MAX];
    size_t allowed_count; /* 0: everybody */
    int wakeup_fd;        /* wakes the counting thread */
    int stop_fd;          /* wakes the receiving thread */
    int lock_fd;          /* no second collector while it is open */
    int64_t max_age_days;
    int64_t queue_len; /* datagrams that wait for us in a socket at most; 0: not known */

    /* between the threads */
    _Atomic bool is_stopping;
    _Atomic int64_t deadline_ms; /* monotonic; set with is_stopping */
    _Atomic bool is_receiver_done;
    _Atomic bool is_counter_done;
    _Atomic bool is_store_away;  /* the last batch could not be stored */
    _Atomic bool is_stamping;    /* datagrams have an arrival time and are not in the ring yet */
    _Atomic int rest;            /* enum rest */
    _Atomic bool wants_counters; /* SIGUSR1 */
    _Atomic uint64_t receive_beats;
    _Atomic uint64_t count_beats;
    _Atomic uint64_t received; /* since start, for STATUS= */
    _Atomic uint64_t stored;
    _Atomic uint64_t malformed;
    _Atomic int receiver_class; /* enum receiver_class */
    _Atomic int receive_errno;  /* of the last failure, 0 once it was said */
};

/* pthread_create's functions; argument is the struct collect. */
void *collect_receive_run(void *argument);
void *collect_count_run(void *argument);

/* Count what waits in the ring, without threads: ST_OK when it is empty, else why the store would not. */
MUST_CHECK enum status collect_count_all(struct collect *collect, struct err *err);

/* Wake the counting thread if it must know: called by the receiving thread after publishing. */
void collect_wake_if_resting(struct collect *collect);

/* Wake it in any case. */
void collect_wake(struct collect *collect);

#endif
