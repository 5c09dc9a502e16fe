/* SPDX-License-Identifier: MIT */
/*
 * Following a log must emit each result once, also over kill -9:
 * 1. After each result the checkpoint moves behind it: line offset and number of results of that line.
 * 2. A new process first reads again, without emitting, from the oldest line with something open; then it skips
 *    the results of the interrupted line that were emitted.
 * 3. After a minute without a line everything open is flushed; that this has started is saved first, so that a
 *    new process finishes it before it reads on.
 * The collector drops a result that comes twice in spite of this, by the log's id and the result's number.
 */
#include "log_read.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/fnv1a.h"
#include "datagram/ndjson_line.h"
#include "follow/follow.h"

#define IDLE_MS        60000 /* so long without a line, and what is open is closed */
#define POLL_EVERY_MS  200
#define SAVE_EVERY_MS  1000
#define FLUSH_EVERY_MS 5000
#define SAVE_LINES     8192 /* look at the clock so often */
#define SHOWN_BYTES    80

/* In checkpoint.done_results: a flush was in progress, and so many of its results were emitted. */
#define FLUSH_UNDER_WAY (UINT64_C(1) << 63)

struct log_follower {
    struct follow *follow;
    struct checkpoint_file keeper;
    struct checkpoint checkpoint;
    uint64_t line_offset;     /* of the current line */
    uint64_t emitted_results; /* of it, or of the flush */
    uint64_t flush_emitted;   /* of a flush that an earlier life did not finish */
    int64_t saved_ms, flushed_ms, idle_since_ms;
    unsigned lines_since_save, rotations;
    bool is_save_failing; /* and that was logged */
    bool is_flushing;
    bool is_flush_due; /* an earlier life did not finish one: it comes before the first new line */
};

/* ---- one line ---- */

static void log_malformed(struct span line, const struct err *err)
{
    char begin[SHOWN_BYTES + 1] = "";

    if (line.len > SHOWN_BYTES)
        line.len = SHOWN_BYTES;
    memcpy(begin, line.at, line.len);
    for (char *nul; (nul = memchr(begin, '\0', line.len)) != NULL;)
        *nul = ' ';
    LOG_FACT(EV_LINE_MALFORMED, log_text("reason", err->text), log_text("begin", begin));
}

static enum status feed_json(struct log_reader *reader, struct span line, struct err *err)
{
    struct session_result result;
    int64_t utc_s;
    enum status status;

    if (line.len == 0)
        return ST_OK;
    arena_reset(&reader->arena);
    status = ndjson_line_decode(line.at, line.len, clock_utc_s(), &reader->arena, &result, &utc_s, err);
    if (status == ST_OK)
        return log_reader_emit(reader, &result, utc_s);
    if (status == ST_NOMEM)
        return status;
    reader->malformed++;
    log_malformed(line, err);
    return ST_OK;
}

static enum status feed(struct log_reader *reader, struct span line, uint64_t offset, struct err *err)
{
    enum status status;

    reader->lines++;
    if (reader->mtalog == NULL)
        status = feed_json(reader, line, &reader->err);
    else
        status = mtalog_feed(reader->mtalog, line, offset, &reader->err);
    if (status != ST_OK && err != NULL)
        *err = reader->err;
    return status;
}

enum status log_read_end(struct log_reader *reader, struct err *err)
{
    enum status status = ST_OK;

    if (reader->mtalog != NULL)
        status = mtalog_flush(reader->mtalog, &reader->err);
    if (status != ST_OK)
        *err = reader->err;
    return status;
}

/* ---- files and pipes ---- */

static enum status read_source(struct log_reader *reader, struct source *source, struct lines *lines,
                               struct err *err)
{
    struct span line;
    uint64_t offset;
    enum status status = ST_OK;

    while (status == ST_OK && !log_sink_is_stopping) {
        status = lines_next(lines, source, &line, &offset, err);
        if (status == ST_OK)
            status = feed(reader, line, offset, err);
        else if (status == ST_BUSY) /* a quiet pipe */
            status = log_read_end(reader, err);
        if (reader->mtalog != NULL && (reader->lines % SAVE_LINES == 0 || source->is_standard))
            mtalog_set_now(reader->mtalog, clock_utc_s());
    }
    if (status != ST_NOT_FOUND)
        return status;
    return lines_take_rest(lines, &line, &offset) ? feed(reader, line, offset, err) : ST_OK;
}

enum status log_read_file(struct log_reader *reader, const char *name, struct err *err)
{
    struct source source;
    struct lines lines;
    enum status status = ST_OK;

    if (strcmp(name, "-") == 0)
        source_open_standard(IDLE_MS, &source);
    else
        status = source_open(name, &source, err);
    if (status != ST_OK)
        return status;
    status = lines_init(&lines, err);
    if (status == ST_OK) {
        lines_begin(&lines, 0);
        if (reader->mtalog != NULL)
            mtalog_set_now(reader->mtalog, clock_utc_s());
        status = read_source(reader, &source, &lines, err);
    }
    lines_done(&lines);
    source_close(&source);
    return status;
}

/* ---- a log that is followed ---- */

/* Save that everything before the stream offset done was emitted, and so many results of the line there. */
static void save_checkpoint(struct log_reader *reader, uint64_t done, uint64_t results)
{
    struct log_follower *follower = reader->follower;
    uint64_t replay = reader->mtalog != NULL ? mtalog_replay_offset(reader->mtalog, done) : done;

    follow_get_checkpoint(follower->follow, done, replay < done ? replay : done, &follower->checkpoint);
    follower->checkpoint.done_results = results;
    follower->checkpoint.log_number = reader->sink->log_number;
    follower->checkpoint.saved_s = clock_utc_s();
    if (reader->mtalog != NULL)
        mtalog_get_memory(reader->mtalog, follower->checkpoint.memory);
    checkpoint_save(&follower->keeper, &follower->checkpoint);
}

/* The log's id and the start of reading are on the disk before anything is emitted under that id. */
static enum status begin_checkpoint(struct log_reader *reader, uint64_t offset, struct err *err)
{
    save_checkpoint(reader, offset, 0);
    return checkpoint_flush(&reader->follower->keeper, err);
}

/* Reading continues: what is emitted again after a kill has the same numbers, and is counted once. */
static void flush_checkpoint(struct log_follower *follower)
{
    struct err err;
    bool is_failing = checkpoint_flush(&follower->keeper, &err) != ST_OK;

    if (is_failing && !follower->is_save_failing)
        LOG_FACT(EV_CHECKPOINT_FAILED, log_text("reason", err.text));
    follower->is_save_failing = is_failing;
}

/* The checkpoint moves with each result, so that a kill -9 right after it emits nothing twice. */
static void save_result(struct log_reader *reader)
{
    struct log_follower *follower = reader->follower;
    struct checkpoint *checkpoint = &follower->checkpoint;
    struct checkpoint now = *checkpoint;

    follower->emitted_results++;
    checkpoint->log_number = reader->sink->log_number;
    if (follower->is_flushing) { /* of no line: what is open stays so until all of it is emitted */
        checkpoint->done_results = FLUSH_UNDER_WAY | follower->emitted_results;
        checkpoint_save(&follower->keeper, checkpoint);
        return;
    }
    follow_get_checkpoint(follower->follow, follower->line_offset, follower->line_offset, &now);
    checkpoint->done_file = now.done_file;
    checkpoint->done_offset = now.done_offset;
    checkpoint->done_results = follower->emitted_results;
    checkpoint_save(&follower->keeper, checkpoint);
}

enum status log_reader_emit(void *context, const struct session_result *result, int64_t utc_s)
{
    struct log_reader *reader = context;
    enum status status;

    if (reader->is_replaying)
        return ST_OK;
    if (reader->emitted_before > 0) {
        reader->emitted_before--;
        reader->follower->emitted_results++;
        return ST_OK;
    }
    status = log_sink_emit(reader->sink, result, utc_s, &reader->err);
    if (status == ST_OK && reader->follower != NULL)
        save_result(reader);
    return status;
}

static void save_regularly(struct log_reader *reader, bool is_forced)
{
    struct log_follower *follower = reader->follower;
    int64_t now_ms;

    if (++follower->lines_since_save < SAVE_LINES && !is_forced)
        return;
    follower->lines_since_save = 0;
    now_ms = clock_monotonic_ms();
    if (reader->mtalog != NULL)
        mtalog_set_now(reader->mtalog, clock_utc_s());
    if (now_ms - follower->saved_ms < SAVE_EVERY_MS && !is_forced)
        return;
    follower->saved_ms = now_ms;
    save_checkpoint(reader, follow_offset(follower->follow), 0);
    if (now_ms - follower->flushed_ms < FLUSH_EVERY_MS)
        return;
    follower->flushed_ms = now_ms;
    flush_checkpoint(follower);
}

/*
 * Close what is open; so many of its results were emitted before a kill -9.  That it has started is saved first:
 * a new process finishes it before anything else, and each result keeps its number.
 */
static enum status flush(struct log_reader *reader, uint64_t emitted, struct err *err)
{
    struct log_follower *follower = reader->follower;
    enum status status;

    follower->is_flush_due = false;
    follower->is_flushing = true;
    follower->emitted_results = 0;
    reader->is_replaying = false;
    reader->emitted_before = emitted;
    follower->checkpoint.done_results = FLUSH_UNDER_WAY | emitted;
    checkpoint_save(&follower->keeper, &follower->checkpoint);
    status = log_read_end(reader, err);
    reader->emitted_before = 0;
    follower->is_flushing = false;
    return status;
}

/* Before a line is fed.  ST_OK, or what flush or begin_checkpoint returns. */
static enum status prepare_line(struct log_reader *reader, const struct follow_line *line, struct err *err)
{
    struct log_follower *follower = reader->follower;
    enum status status = ST_OK;

    if (follower->is_flush_due && !line->is_replayed) {
        status = flush(reader, follower->flush_emitted, err);
        if (status == ST_OK)
            save_checkpoint(reader, line->offset, 0);
    }
    if (status == ST_OK && !follower->checkpoint.done_file.is_known)
        status = begin_checkpoint(reader, line->offset, err);
    return status;
}

static enum status follow_line(struct log_reader *reader, const struct follow_line *line, struct err *err)
{
    struct log_follower *follower = reader->follower;
    enum status status = prepare_line(reader, line, err);

    if (status != ST_OK)
        return status;
    follower->line_offset = line->offset;
    follower->emitted_results = 0;
    follower->idle_since_ms = 0;
    reader->is_replaying = line->is_replayed;
    reader->emitted_before = line->emitted_results;
    status = feed(reader, line->text, line->offset, err);
    reader->emitted_before = 0;
    if (status == ST_OK && !line->is_replayed)
        save_regularly(reader, false);
    if (follower->rotations != follow_rotations(follower->follow)) {
        follower->rotations = follow_rotations(follower->follow);
        LOG_FACT(EV_LOG_ROTATED, log_number("rotations", follower->rotations));
    }
    return status;
}

/* The log is at its end.  After a long time without a line, close what is open: not days later. */
static enum status wait_for_lines(struct log_reader *reader, struct err *err)
{
    struct log_follower *follower = reader->follower;
    int64_t now_ms = clock_monotonic_ms();
    enum status status = ST_OK;

    if (follower->is_flush_due)
        status = flush(reader, follower->flush_emitted, err);
    if (follower->idle_since_ms == 0) {
        follower->idle_since_ms = now_ms;
        reader->is_replaying = false;
        if (status == ST_OK && follow_offset(follower->follow) > 0)
            save_regularly(reader, true);
    }
    if (status == ST_OK && now_ms - follower->idle_since_ms >= IDLE_MS) {
        status = flush(reader, 0, err);
        follower->idle_since_ms = now_ms;
        if (status == ST_OK)
            save_regularly(reader, true);
    }
    if (status == ST_OK)
        clock_sleep_ms(POLL_EVERY_MS);
    return status;
}

/*
 * The program is stopped, or the log ended (--once).  A result that nobody took because the program is stopped was
 * not emitted: the checkpoint stays before it.
 */
static enum status end_following(struct log_reader *reader, enum status status, struct err *err)
{
    struct log_follower *follower = reader->follower;

    if (status == ST_NOT_FOUND)
        status = follower->is_flush_due ? flush(reader, follower->flush_emitted, err) : ST_OK;
    if (status == ST_TEMPORARY && log_sink_is_stopping)
        return ST_OK;
    if (status == ST_OK && !reader->is_replaying)
        save_checkpoint(reader, follow_offset(follower->follow), 0);
    return status;
}

static enum status follow_lines(struct log_reader *reader, bool is_once, struct err *err)
{
    enum status status = ST_OK;

    while (status == ST_OK && !log_sink_is_stopping) {
        struct follow_line line;

        status = follow_next(reader->follower->follow, &line, err);
        if (status == ST_OK)
            status = follow_line(reader, &line, err);
        else if (status == ST_NOT_FOUND && !is_once)
            status = wait_for_lines(reader, err);
    }
    return end_following(reader, status, err);
}

/* A log keeps its random id as long as its checkpoint is valid. */
static enum status name_log(struct log_reader *reader, bool is_new, struct err *err)
{
    struct checkpoint *checkpoint = &reader->follower->checkpoint;

    if (is_new || checkpoint->log_id == 0) {
        checkpoint->log_number = 0;
        if (getrandom(&checkpoint->log_id, sizeof checkpoint->log_id, GRND_NONBLOCK) !=
            (ssize_t)sizeof checkpoint->log_id)
            return err_set_errno(err, ST_IO, errno, "random bytes");
    }
    reader->sink->log_id = checkpoint->log_id;
    reader->sink->log_number = checkpoint->log_number;
    return ST_OK;
}

static enum status open_follow(struct log_reader *reader, const char *path, bool is_once, bool has_checkpoint,
                               struct err *err)
{
    struct log_follower *follower = reader->follower;
    bool is_lost = false;
    enum status status;

    follower->is_flush_due = has_checkpoint && (follower->checkpoint.done_results & FLUSH_UNDER_WAY) != 0;
    if (follower->is_flush_due) {
        follower->flush_emitted = follower->checkpoint.done_results & ~FLUSH_UNDER_WAY;
        follower->checkpoint.done_results = 0;
    }
    status = follow_open(path, is_once ? FOLLOW_TO_END : FOLLOW_FOREVER,
                         has_checkpoint ? &follower->checkpoint : NULL, &follower->follow, &is_lost, err);
    if (status != ST_OK)
        return status;
    if (is_lost && follower->checkpoint.done_file.is_known)
        LOG_FACT(EV_CHECKPOINT_LOST, log_text("path", path));
    if (reader->mtalog != NULL) {
        mtalog_set_memory(reader->mtalog, follower->checkpoint.memory);
        mtalog_set_now(reader->mtalog, clock_utc_s());
    }
    status = name_log(reader, !has_checkpoint || is_lost, err);
    /* A stop before the first line must not move the checkpoint back. */
    reader->is_replaying = has_checkpoint && !is_lost;
    if (status == ST_OK && !reader->is_replaying) {
        follower->is_flush_due = false;
        status = begin_checkpoint(reader, follow_offset(follower->follow), err);
    }
    return status;
}

/* A host that logs to the journal only has no such file; without this line nobody would notice. */
static void find_log(const char *path)
{
    if (access(path, R_OK) != 0)
        LOG_FACT(EV_LOG_ABSENT, log_text("path", path), log_text("reason", strerror(errno)),
                 log_text("mend", "let syslog write it, or name another file; reading waits for it"));
}

/* The lock file says which log is followed, for tlsrpt-gen check.  Not vital: a failure changes nothing. */
static void note_log(const struct checkpoint_file *keeper, const char *absolute)
{
    if (ftruncate(keeper->lock_fd, 0) == 0)
        (void)dprintf(keeper->lock_fd, "%s\n", absolute);
}

static enum status make_absolute(const char *path, char absolute[PATH_MAX], struct err *err)
{
    char folder[PATH_MAX] = "";

    if (*path != '/' && getcwd(folder, sizeof folder) == NULL)
        return err_set_errno(err, ST_IO, errno, "current folder");
    if ((size_t)snprintf(absolute, PATH_MAX, "%s%s%s", folder, *path != '/' ? "/" : "", path) >= PATH_MAX)
        return err_set(err, ST_CONFIG, "%s: path is too long", path);
    return ST_OK;
}

static enum status make_checkpoint_path(const char *absolute, const char *state_dir, const char *mta,
                                        char path_out[PATH_MAX], struct err *err)
{
    uint64_t hash = fnv1a(FNV1A_START, absolute, strlen(absolute));

    if ((size_t)snprintf(path_out, PATH_MAX, "%s/log-%s-%016llx.place", state_dir, mta,
                         (unsigned long long)hash) >= PATH_MAX)
        return err_set(err, ST_CONFIG, "state_dir is too long");
    return file_make_folders(state_dir, 0750, err);
}

enum status log_follow(struct log_reader *reader, const char *path, const char *state_dir, const char *mta,
                       bool is_once, struct err *err)
{
    struct log_follower follower = {.follow = NULL};
    char absolute[PATH_MAX], checkpoint_path[PATH_MAX];
    bool has_checkpoint = false;
    enum status status = make_absolute(path, absolute, err);

    if (status == ST_OK)
        status = make_checkpoint_path(absolute, state_dir, mta, checkpoint_path, err);
    if (status == ST_OK)
        status =
            checkpoint_open(checkpoint_path, &follower.keeper, &follower.checkpoint, &has_checkpoint, err);
    if (status != ST_OK)
        return status;
    reader->follower = &follower;
    status = open_follow(reader, path, is_once, has_checkpoint, err);
    if (status == ST_OK) {
        LOG_FACT(EV_LOG_FOLLOWED, log_text("path", path));
        find_log(path);
        note_log(&follower.keeper, absolute);
        status = follow_lines(reader, is_once, err);
    }
    reader->follower = NULL;
    follow_close(&follower.follow);
    checkpoint_close(&follower.keeper);
    return status;
}
