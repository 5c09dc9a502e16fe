/* SPDX-License-Identifier: MIT */
/*
 * Open everything that the collector's threads use, in the order of STEPS.  The lock comes before the store
 * and the ring, because a second collector would count the same ring; the store comes before the ring,
 * because it knows up to where the ring is counted; the sockets come after both, so that no sender is
 * accepted before its data is safe.
 */
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "app/collector_state.h"
#include "app/host_settings.h"
#include "app/log_events.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/keyed_hash.h"
#include "base/strbuf.h"
#include "threads.h"

#define QUEUE_FILE   "/proc/sys/net/unix/max_dgram_qlen"
#define QUEUE_WANTED 512
#define NAME_LEN     20 /* of the longest file name in state_dir, and more */
#define ORIGIN_SIZE  256
#define BUSY_MS      2000 /* the watchdog expects the thread to move; the ring can wait longer */

/* "STATE_DIR/name" in path_out, which is returned; check_host made sure that it fits. */
static const char *state_path(const struct collector *collector, const char *name, char path_out[PATH_MAX])
{
    (void)snprintf(path_out, PATH_MAX, "%s/%s", collector->config->state_dir, name);
    return path_out;
}

static enum status check_host(struct collector *collector, struct err *err)
{
    if (strlen(collector->config->state_dir) > PATH_MAX - NAME_LEN)
        return err_set(err, ST_CONFIG, "state_dir is too long");
    return host_settings_check(
        collector->config, getenv("LISTEN_FDS") != NULL ? HOST_SETTINGS_INHERIT : HOST_SETTINGS_COLLECT, err);
}

static enum status open_shared(struct collector *collector, struct err *err)
{
    collector->counter = counter_new(collector);
    collector->batch = listen_batch_new();
    collector->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    collector->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (collector->counter == NULL || collector->batch == NULL || collector->wakeup_fd < 0 ||
        collector->stop_fd < 0)
        return err_set(err, ST_NOMEM, "out of memory or descriptors");
    return ST_OK;
}

/* ---- allow_uid ---- */

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

static enum status read_allowed(struct collector *collector, struct err *err)
{
    const struct option_list *list = &collector->config->allow_uid;
    enum status status = ST_OK;

    if (list->count > COLLECT_UIDS_MAX)
        return err_set(err, ST_CONFIG, "allow_uid: more than %d users", COLLECT_UIDS_MAX);
    for (size_t i = 0; status == ST_OK && i < list->count; i++)
        status = parse_uid(list->items[i], &collector->allowed[i], err);
    collector->allowed_count = list->count;
    return status;
}

/* ---- lock, store, ring ---- */

/* For sessions.db's index in memory, which SQLite maps: on a full btrfs it would end us with SIGBUS. */
static enum status prepare_state(struct collector *collector, struct err *err)
{
    int fd = open(collector->config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)err;
    if (fd >= 0) {
        file_set_in_place(fd);
        (void)close(fd);
    }
    return ST_OK;
}

static enum status lock_state(struct collector *collector, struct err *err)
{
    char path[PATH_MAX];
    enum status status = file_lock(state_path(collector, "collector.lock", path), &collector->lock_fd, err);

    return status == ST_BUSY ? err_set(err, ST_BUSY, "another collector works on %s; only one may",
                                       collector->config->state_dir)
                             : status;
}

static enum status open_store(struct collector *collector, struct err *err)
{
    const struct session_limits limits = {.max_policies = collector->config->max_policies,
                                          .max_details = collector->config->max_details,
                                          .max_subdomains = collector->config->max_subdomains,
                                          .busy_ms = BUSY_MS};
    char path[PATH_MAX];
    enum status status =
        session_writer_open(state_path(collector, "sessions.db", path), &limits, &collector->store, err);

    return status == ST_OK
               ? session_reader_get_mark(session_writer_reader(collector->store), &collector->mark, err)
               : status;
}

/*
 * A ring of another size or version is counted to its end and replaced.  If the store refuses now, the
 * collector uses the old one until its next start.
 */
static void remake_ring(struct collector *collector)
{
    struct err err;
    enum status status = counter_drain(collector->counter, &err);

    if (status == ST_OK) /* what is counted must not be undone by a power cut when the ring has it no more */
        status = session_writer_sync(collector->store, &err);
    if (status == ST_OK)
        status = ring_remake(collector->ring, &err);
    if (status == ST_OK)
        LOG_FACT(EV_RING_REMADE, log_number("bytes", (int64_t)ring_capacity_bytes(collector->ring)));
    else
        LOG_FACT(EV_RING_KEPT, log_text("reason", err.text));
}

static enum status open_ring(struct collector *collector, struct err *err)
{
    const struct ring_position from = {collector->mark.ring_sequence, collector->mark.ring_dropped};
    char path[PATH_MAX];
    enum status status = ring_open(state_path(collector, "ring", path), (size_t)collector->config->ring_size,
                                   session_writer_reader(collector->store)->id, &from, &collector->ring, err);

    if (status != ST_OK)
        return status;
    if (*ring_set_aside_reason(collector->ring) != '\0')
        LOG_FACT(EV_RING_SET_ASIDE, log_text("reason", ring_set_aside_reason(collector->ring)),
                 log_text("kept", "ring.unreadable-1"));
    if (ring_is_outdated(collector->ring))
        remake_ring(collector);
    return ST_OK;
}

/* ---- sockets ---- */

static bool has_kind(const struct collector *collector, bool is_stream)
{
    for (size_t i = 0; i < collector->listener_count; i++)
        if (collector->listeners[i].is_stream == is_stream)
            return true;
    return false;
}

typedef enum status open_fn(const char *path, mode_t mode, const char *group, struct listener *listener_out,
                            struct err *err);

static enum status open_list(struct collector *collector, const char *name, const struct option_list *paths,
                             open_fn *open, struct err *err)
{
    const struct config *config = collector->config;
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < paths->count; i++) {
        if (collector->listener_count == LISTEN_SOCKETS_MAX)
            return err_set(err, ST_CONFIG, "%s: more than %d sockets in all", name, LISTEN_SOCKETS_MAX);
        status = open(paths->items[i], (mode_t)config->socket_mode, config->socket_group,
                      &collector->listeners[collector->listener_count], err);
        if (status == ST_OK)
            collector->listener_count++;
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

/* Of each kind, the service manager's sockets replace those of the settings. */
static enum status open_sockets(struct collector *collector, struct err *err)
{
    const struct config *config = collector->config;
    enum status status =
        listen_inherit(collector->listeners, LISTEN_SOCKETS_MAX, &collector->listener_count, err);

    if (status == ST_OK && !has_kind(collector, false))
        status = open_list(collector, "socket", &config->socket, listen_open, err);
    if (status == ST_OK && !has_kind(collector, true))
        status = open_list(collector, "exim_socket", &config->exim_socket, listen_open_stream, err);
    if (status == ST_OK && collector->listener_count == 0)
        status = refuse_no_socket(config, err);
    for (size_t i = 0; status == ST_OK && collector->allowed_count > 0 && i < collector->listener_count; i++)
        if (!collector->listeners[i].is_stream)
            status = listen_want_uid(&collector->listeners[i], err);
    return status;
}

static enum status open_exim(struct collector *collector, struct err *err)
{
    int fds[LISTEN_SOCKETS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < collector->listener_count; i++)
        if (collector->listeners[i].is_stream)
            fds[count++] = collector->listeners[i].fd;
    return count > 0 ? exim_stream_new(fds, count, &collector->exim, err) : ST_OK;
}

/* ---- what `tlsrpt-gen status` and a fleet read ---- */

/* The kernel's queue length; 0 if it is unknown. */
static int64_t read_queue_length(const struct collector *collector)
{
    struct strbuf text;
    struct cursor cursor;
    int64_t length = 0;

    for (size_t i = 0; i < collector->listener_count; i++)
        if (!listen_is_at_home(&collector->listeners[i]))
            return 0; /* made in another network namespace, which has its own setting */
    strbuf_init(&text, 64);
    if (file_read(QUEUE_FILE, &text, NULL) == ST_OK) {
        cursor_init(&cursor, text.data, text.len);
        length = (int64_t)cursor_take_number(&cursor, INT32_MAX);
    }
    strbuf_done(&text);
    return length;
}

static enum status write_notes(struct collector *collector, struct err *err)
{
    const struct hash_key random = hash_key_new();
    char length[24] = "", started[24], instance[40], pid_namespace[FILE_PID_NAMESPACE_SIZE];
    const struct {
        const char *name, *text;
    } notes[] = {
        {"max_dgram_qlen", length},
        {COLLECTOR_PID_NAMESPACE_NOTE, pid_namespace},
        {"started_s", started},
        {SESSION_INSTANCE_NOTE, instance}, /* in a fleet: whose counts these are from now on */
    };
    enum status status = session_writer_begin(collector->store, err);

    if (collector->queue_len > 0)
        (void)snprintf(length, sizeof length, "%lld", (long long)collector->queue_len);
    (void)snprintf(started, sizeof started, "%lld", (long long)clock_utc_s());
    (void)snprintf(instance, sizeof instance, "%016llx%016llx", (unsigned long long)random.words[0],
                   (unsigned long long)random.words[1]);
    file_pid_namespace(pid_namespace);
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(notes); i++)
        status = session_writer_set_note(collector->store, notes[i].name, notes[i].text, err);
    if (status == ST_OK)
        return session_writer_commit(collector->store, err);
    session_writer_rollback(collector->store);
    return status;
}

static enum status note_start(struct collector *collector, struct err *err)
{
    collector->queue_len = read_queue_length(collector);
    if (collector->queue_len > 0 && collector->queue_len < QUEUE_WANTED)
        LOG_FACT(EV_QUEUE_SHORT, log_number("max_dgram_qlen", collector->queue_len),
                 log_text("mend", "set sysctl net.unix.max_dgram_qlen=512, then start the collector again"));
    return write_notes(collector, err);
}

/* ---- all ---- */

enum status collector_open(struct collector *collector, const struct config *config, struct err *err)
{
    static enum status (*const STEPS[])(struct collector *, struct err *) = {
        check_host, open_shared, read_allowed, prepare_state, lock_state,
        open_store, open_ring,   open_sockets, open_exim,     note_start,
    };
    enum status status = ST_OK;

    *collector = (struct collector){.config = config, .wakeup_fd = -1, .stop_fd = -1, .lock_fd = -1};
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(STEPS); i++)
        status = STEPS[i](collector, err);
    return status;
}

void collector_close(struct collector *collector)
{
    const int descriptors[] = {collector->wakeup_fd, collector->stop_fd, collector->lock_fd};

    exim_stream_free(&collector->exim);
    for (size_t i = 0; i < collector->listener_count; i++)
        listen_close(&collector->listeners[i]);
    counter_free(&collector->counter);
    ring_close(&collector->ring);
    session_writer_close(&collector->store);
    listen_batch_free(&collector->batch);
    for (size_t i = 0; i < ARRAY_COUNT(descriptors); i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
}
