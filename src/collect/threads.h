/* SPDX-License-Identifier: MIT */
/*
 * threads.h - the collector's three threads and what they share.
 *
 *   receiving thread  receive.c    sockets -> ring; no lock, no allocation, no logging
 *   counting thread   count.c      ring -> aggregate -> store, one transaction per batch
 *   main thread       collector.c  signals, watchdog, logging for the receiving thread, flushing (durable.c)
 *
 * They share the ring and the atomic fields below.
 */
#ifndef COLLECT_THREADS_H
#define COLLECT_THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "listen/exim_stream.h"
#include "listen/listen.h"
#include "model/config.h"
#include "ring/ring.h"
#include "store/session_writer.h"

#define COLLECT_RUSH_SHARE  3 /* a batch starts at once if a third of the ring is filled */
#define COLLECT_UIDS_MAX    64
#define COLLECT_TICK_MS     1000  /* every thread counts a beat at least this often */
#define COLLECT_DEADLINE_MS 20000 /* for counting what remains after SIGTERM */

/* What the counting thread does, and so whether it must be woken. */
enum rest {
    REST_AWAKE,
    REST_LINGERING, /* a batch grows: wake it only if the ring fills up */
    REST_ASLEEP,    /* the ring is empty: wake it for any datagram */
};

/* Priority that the kernel gave the receiving thread. */
enum receiver_class {
    RECEIVER_UNKNOWN, /* not asked yet */
    RECEIVER_REALTIME,
    RECEIVER_NICE,
    RECEIVER_NORMAL,
};

struct counter;

struct collector {
    /* set before the threads start */
    const struct config *config;
    struct session_writer *store; /* used by the counting thread while it runs */
    struct session_mark mark;     /* as committed; likewise */
    struct counter *counter;      /* likewise */
    struct ring *ring;
    struct listener listeners[LISTEN_SOCKETS_MAX];
    size_t listener_count;
    struct listen_batch *batch; /* used by the receiving thread */
    struct exim_stream *exim;   /* likewise; NULL: no stream socket */
    uid_t allowed[COLLECT_UIDS_MAX];
    size_t allowed_count; /* 0: everybody */
    int wakeup_fd;        /* wakes the counting thread */
    int stop_fd;          /* wakes the receiving thread */
    int lock_fd;          /* held open, it keeps a second collector out */
    int64_t queue_len;    /* datagrams that the kernel queues per socket; 0: unknown */

    /* between the threads */
    _Atomic bool is_stopping;
    _Atomic int64_t deadline_ms; /* monotonic; set before is_stopping */
    _Atomic bool is_receiver_done;
    _Atomic bool is_store_away;        /* the last batch could not be stored */
    _Atomic bool is_stamping;          /* datagrams have an arrival time but are not in the ring yet */
    _Atomic int rest;                  /* enum rest */
    _Atomic bool wants_counters;       /* SIGUSR1 */
    _Atomic bool wants_flush;          /* the next batch is to be flushed to the disk */
    _Atomic uint64_t durable_sequence; /* of the ring: what is before it survives a power cut in the store */
    _Atomic uint64_t receive_beats;
    _Atomic uint64_t count_beats;
    _Atomic uint64_t received; /* since start, for STATUS= */
    _Atomic uint64_t stored;
    _Atomic uint64_t malformed;
    _Atomic int receiver_class; /* enum receiver_class */
    _Atomic int receive_errno;  /* of the last failure; 0: logged */
};

/* ---- open.c ---- */

/*
 * Open everything that the threads use; on failure too, collector_close must follow.  Statuses as
 * collector_run.
 */
MUST_CHECK enum status collector_open(struct collector *collector, const struct config *config,
                                      struct err *err);
void collector_close(struct collector *collector);

/* ---- receive.c ---- */

/* pthread_create's function; argument is the struct collector. */
void *receive_run(void *argument);

/* ---- count.c ---- */

MUST_CHECK struct counter *counter_new(struct collector *collector); /* NULL: out of memory */
void counter_free(struct counter **counter);

/* pthread_create's function; argument is the struct counter. */
void *counter_run(void *argument);

/*
 * Count everything in the ring; while no thread runs.
 * ST_OK     the ring is empty
 * any other the store's reason to refuse
 */
MUST_CHECK enum status counter_drain(struct counter *counter, struct err *err);

/* Wake the counting thread if it must know: called by the receiving thread after ring_publish. */
void counter_wake_if_resting(struct collector *collector);

/* Wake the counting thread in any case. */
void counter_wake(struct collector *collector);

#endif
