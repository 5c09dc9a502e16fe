/* SPDX-License-Identifier: MIT */
/*
 * A chain of files is read one after the other; its last one is the log itself, which may grow.
 *
 * At the start the chain is: the file of the checkpoint (found again by its mark), everything newer, the log.  At
 * the end of the log, follow_next checks whether the log is still the open file:
 *   another file has the path             the open one is finished, after a short time for a writer that still
 *                                         holds it
 *   it became shorter, or starts otherwise  it was truncated: first comes the rest of the copy, then the log anew
 */
#include "follow/follow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fnv1a.h"

#define OVER_AFTER_MS                                                                                        \
    500 /* a rotated file is over when its successor has bytes and it did not grow for so long */
#define LIST_TRIES 20 /* how often to look again while a rotator is at work */
#define HEAD_PROOF 64 /* so many equal bytes at the begin prove that two files are the same log */

/* One file of the chain.  It is open from the start, so that it stays the same whatever its name becomes. */
struct link {
    char path[PATH_MAX];
    struct source source;
    uint64_t start; /* first byte to read */
    int64_t mtime_ns;
    struct file_mark mark;
    char head[CHECKPOINT_HEAD_MAX]; /* mark.head_len bytes */
};

struct follow {
    const char *path;
    enum follow_mode mode;
    struct link *chain; /* room for FOLLOW_FILES_MAX + 1 */
    size_t count;       /* 0: there is no log yet */
    size_t at;          /* the link that is being read */
    struct lines lines;
    uint64_t position;     /* stream offset of the next line */
    uint64_t base;         /* stream offset of the first byte of the file being read */
    struct file_mark mark; /* of that file */
    uint64_t last_base;    /* the same of the file before, if last_mark.is_known */
    struct file_mark last_mark;
    int64_t over_since_ms; /* since when another file with bytes has the path; 0: none has */
    unsigned rotations;
    /* what an earlier process emitted: up to done_offset of link done_at */
    bool has_done;
    size_t done_at;
    uint64_t done_offset, done_results;
};

/* ---- marks ---- */

static bool same_head(const struct file_mark *mark, const char *head, size_t head_len)
{
    return mark->head_len <= head_len && fnv1a(FNV1A_START, head, mark->head_len) == mark->head_hash;
}

static bool same_inode(const struct file_mark *mark, const struct stat *stat)
{
    return mark->device == (uint64_t)stat->st_dev && mark->inode == (uint64_t)stat->st_ino;
}

/*
 * The first bytes of the content of a source that was just opened; it is rewound afterwards.  Of a broken gzip
 * file, as many as can be read.
 * ST_IO, ST_NOMEM  it is unknown which file it is
 */
static enum status read_head(struct source *source, char head[CHECKPOINT_HEAD_MAX], size_t *len_out,
                             struct err *err)
{
    enum status status = ST_OK;
    size_t len = 0, got = 1;

    while (status == ST_OK && len < CHECKPOINT_HEAD_MAX && got > 0) {
        got = 0;
        status = source_read(source, head + len, CHECKPOINT_HEAD_MAX - len, &got, err);
        len += got;
    }
    if (status != ST_OK && status != ST_SYNTAX)
        return status;
    *len_out = len;
    return source_seek(source, 0, err);
}

static void set_mark(struct file_mark *mark, const struct stat *stat, const char *head, size_t head_len)
{
    *mark = (struct file_mark){.device = (uint64_t)stat->st_dev,
                               .inode = (uint64_t)stat->st_ino,
                               .head_hash = fnv1a(FNV1A_START, head, head_len),
                               .head_len = (uint32_t)head_len,
                               .is_known = 1};
}

/* Mark of a plain file as it is now: a short head grows with its file. */
static void read_mark(int fd, struct file_mark *mark)
{
    char head[CHECKPOINT_HEAD_MAX];
    struct stat stat;
    size_t len;

    if (source_peek(fd, "", head, sizeof head, &len, NULL) == ST_OK && fstat(fd, &stat) == 0)
        set_mark(mark, &stat, head, len);
}

/* ---- the chain ---- */

static void close_chain(struct follow *follow)
{
    for (size_t i = 0; i < follow->count; i++)
        source_close(&follow->chain[i].source);
    follow->count = 0;
}

static void drop_first(struct follow *follow, size_t count)
{
    for (size_t i = 0; i < count; i++)
        source_close(&follow->chain[i].source);
    memmove(follow->chain, follow->chain + count, (follow->count - count) * sizeof follow->chain[0]);
    follow->count -= count;
    for (size_t i = 0; i < follow->count; i++)
        follow->chain[i].source.name = follow->chain[i].path;
}

/* ST_NOT_FOUND, ST_DENIED, ST_IO, ST_NOMEM, ST_SYNTAX (no regular file) */
static enum status open_link(const char *path, struct link *link, struct err *err)
{
    struct stat stat;
    enum status status;
    size_t head_len = 0;

    link->start = 0;
    (void)snprintf(link->path, sizeof link->path, "%s", path);
    status = source_open(link->path, &link->source, err);
    if (status != ST_OK)
        return status;
    if (fstat(link->source.fd, &stat) != 0)
        status = err_set_errno(err, ST_IO, errno, "stat %s", path);
    else
        status = read_head(&link->source, link->head, &head_len, err);
    if (status != ST_OK) {
        source_close(&link->source);
        return status;
    }
    link->mtime_ns = (int64_t)stat.st_mtim.tv_sec * 1000000000 + stat.st_mtim.tv_nsec;
    set_mark(&link->mark, &stat, link->head, head_len);
    return ST_OK;
}

/* Is it this file, under any name?  A head of a few bytes proves it only together with the inode. */
static bool is_marked(const struct link *link, const struct file_mark *mark)
{
    bool is_same_inode = link->mark.device == mark->device && link->mark.inode == mark->inode;

    return mark->is_known && same_head(mark, link->head, link->mark.head_len) &&
           (is_same_inode || mark->head_len >= HEAD_PROOF);
}

static int compare_links(const void *a, const void *b)
{
    const struct link *x = a, *y = b;

    return x->mtime_ns < y->mtime_ns ? -1 : x->mtime_ns > y->mtime_ns ? 1 : strcmp(x->path, y->path);
}

/*
 * gzip keeps the old file until the new one is whole: the same bytes may be there twice for a moment.  Of
 * twins the plain one stays.  False if other has none.
 */
static bool merge_twin(struct link *links, size_t count, struct link *other)
{
    for (size_t i = 0; i < count; i++) {
        const struct link *shorter = links[i].mark.head_len < other->mark.head_len ? &links[i] : other;

        if (shorter->mark.head_len < HEAD_PROOF ||
            memcmp(links[i].head, other->head, shorter->mark.head_len) != 0)
            continue;
        if (links[i].source.gzip != NULL && other->source.gzip == NULL) {
            struct link kept = links[i];

            links[i] = *other;
            *other = kept;
        }
        return true;
    }
    return false;
}

static bool is_rotated_name(const char *name, const char *base)
{
    size_t len = strlen(base);

    return strncmp(name, base, len) == 0 && (name[len] == '.' || name[len] == '-');
}

typedef void visit_fn(struct follow *follow, const char *path, void *context);

/*
 * Visit the files that may be rotated ones of the log: its name followed by '.' or '-' and something.
 * ST_IO, ST_NOMEM: the folder could not be listed (one that is not there, or not ours to read, has none).
 */
static enum status visit_rotated(struct follow *follow, visit_fn *visit, void *context, struct err *err)
{
    const char *slash = strrchr(follow->path, '/');
    const char *base = slash != NULL ? slash + 1 : follow->path;
    int folder_len = slash != NULL ? (int)(slash - follow->path + 1) : 0;
    char path[PATH_MAX];
    const struct dirent *entry;
    DIR *dir;

    (void)snprintf(path, sizeof path, "%.*s.", folder_len, follow->path);
    dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR
                   ? ST_OK
                   : err_set_errno(err, errno == ENOMEM ? ST_NOMEM : ST_IO, errno, "list %s", path);
    while ((entry = readdir(dir)) != NULL)
        if (is_rotated_name(entry->d_name, base) &&
            snprintf(path, sizeof path, "%.*s%s", folder_len, follow->path, entry->d_name) < (int)sizeof path)
            visit(follow, path, context);
    (void)closedir(dir);
    return ST_OK;
}

static void add_signature(struct follow *follow, const char *path, void *context)
{
    uint64_t *signature = context;
    struct stat stat;

    (void)follow;
    if (lstat(path, &stat) == 0)
        *signature +=
            (fnv1a(FNV1A_START, path, strlen(path)) ^ (uint64_t)stat.st_ino) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Which file has which name; it changes while a rotator is at work. */
static uint64_t names_signature(struct follow *follow)
{
    uint64_t signature = 0;

    if (visit_rotated(follow, add_signature, &signature, NULL) != ST_OK)
        return 0; /* as no listing has it */
    add_signature(follow, follow->path, &signature);
    return signature;
}

/* What adding the rotated files came to. */
struct adding {
    enum status status;
    struct err *err;
};

/* A file that is gone, unreadable or not regular is skipped; any other error ends it, or lines would be lost. */
static void add_rotated(struct follow *follow, const char *path, void *context)
{
    struct link *link = &follow->chain[follow->count];
    struct adding *adding = context;
    enum status status;

    if (follow->count == FOLLOW_FILES_MAX || adding->status != ST_OK)
        return;
    status = open_link(path, link, adding->err);
    if (status == ST_IO || status == ST_NOMEM)
        adding->status = status;
    if (status != ST_OK)
        return;
    /* An empty one stays: it may be the file that is remembered, rotated before anything came. */
    if (merge_twin(follow->chain, follow->count, link))
        source_close(&link->source);
    else
        follow->count++;
}

static enum status add_all_rotated(struct follow *follow, struct err *err)
{
    struct adding adding = {.status = ST_OK, .err = err};
    enum status status;

    close_chain(follow);
    status = visit_rotated(follow, add_rotated, &adding, err);
    qsort(follow->chain, follow->count, sizeof follow->chain[0], compare_links);
    return status != ST_OK ? status : adding.status;
}

/*
 * All files: the rotated ones by age, then the log.
 * ST_NOT_FOUND  there is no log; the others are listed
 * ST_DENIED, ST_IO, ST_NOMEM, ST_SYNTAX
 */
static enum status list_files(struct follow *follow, struct err *err)
{
    enum status status = ST_BUSY;

    for (int i = 0; i < LIST_TRIES && status == ST_BUSY; i++) {
        uint64_t before = names_signature(follow);

        status = add_all_rotated(follow, err);
        if (status != ST_OK)
            break;
        status = open_link(follow->path, &follow->chain[follow->count], err);
        follow->count += status == ST_OK;
        if (names_signature(follow) != before && i + 1 < LIST_TRIES)
            status = ST_BUSY;
    }
    drop_first(follow, 0); /* names moved with their links */
    follow->at = 0;
    return status;
}

/* The first link that is the marked file; count if none is. */
static size_t find_marked(const struct follow *follow, const struct file_mark *mark)
{
    size_t i = 0;

    while (i < follow->count && !is_marked(&follow->chain[i], mark))
        i++;
    return i;
}

/*
 * Make the chain from a checkpoint.  If the file to replay from is gone, nothing is replayed; if the one where
 * reading ended is gone too, everything that changed since is read, and *is_found_out is false.
 */
static enum status chain_from(struct follow *follow, const struct checkpoint *checkpoint, bool *is_found_out,
                              struct err *err)
{
    enum status status = list_files(follow, err);
    size_t replay = find_marked(follow, &checkpoint->replay_file);
    size_t done = find_marked(follow, &checkpoint->done_file);
    size_t first = 0;

    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    follow->has_done = *is_found_out = done < follow->count;
    if (!follow->has_done) {
        while (first + (status == ST_OK) < follow->count && /* the log itself is read in any case */
               follow->chain[first].mtime_ns / 1000000000 < checkpoint->saved_s)
            first++;
    } else if (replay <= done) {
        first = replay;
        follow->chain[first].start = checkpoint->replay_offset;
    } else {
        first = done;
        follow->chain[first].start = checkpoint->done_offset;
    }
    drop_first(follow, first);
    follow->done_at = done - first;
    follow->done_offset = checkpoint->done_offset;
    follow->done_results = checkpoint->done_results;
    return status;
}

/* ---- moving along the chain ---- */

/* Begin to read link `at`.  ST_IO */
static enum status begin_link(struct follow *follow, struct err *err)
{
    struct link *link = &follow->chain[follow->at];
    enum status status = source_seek(&link->source, link->start, err);

    if (status == ST_IO)
        return status;
    if (status != ST_OK)
        link->start = 0; /* it is shorter than it was: all of it is new, and nothing was read yet */
    follow->over_since_ms = 0;
    follow->base = follow->position - link->start;
    follow->mark = link->mark;
    lines_begin(&follow->lines, link->start);
    return ST_OK;
}

static void remember_last(struct follow *follow)
{
    follow->last_base = follow->base;
    follow->last_mark = follow->mark;
    follow->rotations++;
}

static enum status next_link(struct follow *follow, struct err *err)
{
    remember_last(follow);
    source_close(&follow->chain[follow->at].source);
    follow->at++;
    return begin_link(follow, err);
}

/* Find the rest of the current file under its new name, and what came after it. */
static enum status rebuild(struct follow *follow, struct err *err)
{
    struct checkpoint here = {.saved_s = 0};
    bool is_found = false;
    enum status status;

    here.done_file = here.replay_file = follow->mark;
    here.done_offset = here.replay_offset = follow->position - follow->base;
    status = chain_from(follow, &here, &is_found, err);
    if (status != ST_OK && status != ST_NOT_FOUND)
        return status;
    if (!is_found) { /* only the log itself is new for sure */
        remember_last(follow);
        drop_first(follow, status == ST_OK ? follow->count - 1 : follow->count);
    }
    follow->has_done = false;
    return follow->count > 0 ? begin_link(follow, err) : ST_OK;
}

static bool was_truncated(const struct follow *follow, const struct stat *stat)
{
    const struct source *source = &follow->chain[follow->at].source;
    char head[CHECKPOINT_HEAD_MAX];
    size_t len;

    if ((uint64_t)stat->st_size < follow->position - follow->base)
        return true;
    return source_peek(source->fd, source->name, head, follow->mark.head_len, &len, NULL) == ST_OK &&
           !same_head(&follow->mark, head, len);
}

/* At the end of the last link: true once that file is over, which takes OVER_AFTER_MS to be sure. */
static bool watch_end(struct follow *follow)
{
    const struct source *source = &follow->chain[follow->at].source;
    struct stat open_file, at_path;

    if (source->gzip != NULL || fstat(source->fd, &open_file) != 0)
        return false;
    if (was_truncated(follow, &open_file))
        return true;
    if (follow->mark.head_len < CHECKPOINT_HEAD_MAX)
        read_mark(source->fd, &follow->mark);
    if (stat(follow->path, &at_path) != 0 || at_path.st_size == 0 || same_inode(&follow->mark, &at_path)) {
        follow->over_since_ms = 0;
        return false;
    }
    if (follow->over_since_ms == 0)
        follow->over_since_ms = clock_monotonic_ms();
    return clock_monotonic_ms() - follow->over_since_ms >= OVER_AFTER_MS;
}

/* ---- the interface ---- */

enum status follow_open(const char *path, enum follow_mode mode, const struct checkpoint *checkpoint,
                        struct follow **follow_out, bool *is_lost_out, struct err *err)
{
    struct follow *follow = calloc(1, sizeof *follow);
    bool is_found = false;
    enum status status;

    *is_lost_out = false;
    if (follow == NULL)
        return err_set(err, ST_NOMEM, "follow %s: out of memory", path);
    follow->path = path;
    follow->mode = mode;
    follow->chain = calloc(FOLLOW_FILES_MAX + 1, sizeof follow->chain[0]);
    status = follow->chain != NULL ? lines_init(&follow->lines, err)
                                   : err_set(err, ST_NOMEM, "follow %s: out of memory", path);
    if (status != ST_OK) {
        follow_close(&follow);
        return status;
    }
    if (checkpoint != NULL) {
        status = chain_from(follow, checkpoint, &is_found, err);
        *is_lost_out = !is_found && (status == ST_OK || status == ST_NOT_FOUND);
    } else {
        status = list_files(follow, err);
        drop_first(follow, status == ST_OK ? follow->count - 1 : follow->count);
    }
    if (status == ST_NOT_FOUND && (mode == FOLLOW_FOREVER || follow->count > 0))
        status = ST_OK;
    if (status == ST_OK && follow->count > 0) {
        follow->position = follow->chain[0].start;
        status = begin_link(follow, err);
    }
    if (status != ST_OK) {
        follow_close(&follow);
        return status;
    }
    *follow_out = follow;
    return ST_OK;
}

void follow_close(struct follow **follow)
{
    if (*follow == NULL)
        return;
    if ((*follow)->chain != NULL)
        close_chain(*follow);
    lines_done(&(*follow)->lines);
    free((*follow)->chain);
    free(*follow);
    *follow = NULL;
}

static void fill_line(struct follow *follow, struct span text, uint64_t offset, struct follow_line *out)
{
    *out = (struct follow_line){.text = text, .offset = follow->base + offset};
    follow->position = follow->base + follow->lines.offset;
    follow->over_since_ms = 0;
    if (!follow->has_done || follow->at > follow->done_at)
        return;
    out->is_replayed = follow->at < follow->done_at || offset < follow->done_offset;
    if (!out->is_replayed && offset == follow->done_offset)
        out->emitted_results = follow->done_results;
}

/*
 * At the end of the current file.
 * ST_OK         a line
 * ST_BUSY       go on with the next file
 * ST_NOT_FOUND  that is all for now
 */
static enum status at_end(struct follow *follow, struct follow_line *line_out, struct err *err)
{
    struct span text;
    uint64_t offset;
    enum status status;

    if (follow->at + 1 < follow->count) {
        if (lines_take_rest(&follow->lines, &text, &offset)) {
            fill_line(follow, text, offset, line_out);
            return ST_OK;
        }
        status = next_link(follow, err);
        return status == ST_OK ? ST_BUSY : status;
    }
    if (follow->mode == FOLLOW_TO_END || !watch_end(follow))
        return ST_NOT_FOUND;
    status = rebuild(follow, err);
    return status == ST_OK ? ST_BUSY : status;
}

/* The log was not there; is it now? */
static enum status find_log(struct follow *follow, struct err *err)
{
    enum status status = open_link(follow->path, &follow->chain[0], err);

    if (status != ST_OK)
        return status;
    follow->count = 1;
    follow->at = 0;
    return begin_link(follow, err);
}

enum status follow_next(struct follow *follow, struct follow_line *line_out, struct err *err)
{
    enum status status = ST_BUSY;
    struct span text;
    uint64_t offset;

    while (status == ST_BUSY) {
        status = follow->count > 0 ? ST_OK : find_log(follow, err);
        if (status == ST_OK)
            status = lines_next(&follow->lines, &follow->chain[follow->at].source, &text, &offset, err);
        else
            return status;
        if (status == ST_OK)
            fill_line(follow, text, offset, line_out);
        else if (status == ST_NOT_FOUND)
            status = at_end(follow, line_out, err);
    }
    return status;
}

uint64_t follow_offset(const struct follow *follow)
{
    return follow->position;
}

void follow_get_checkpoint(const struct follow *follow, uint64_t done, uint64_t replay,
                           struct checkpoint *checkpoint)
{
    checkpoint->done_file = checkpoint->replay_file = follow->mark;
    checkpoint->done_offset = done - follow->base;
    checkpoint->replay_offset = replay - follow->base;
    if (replay >= follow->base)
        return;
    checkpoint->replay_offset = 0;
    if (!follow->last_mark.is_known)
        return;
    checkpoint->replay_file = follow->last_mark;
    checkpoint->replay_offset = replay > follow->last_base ? replay - follow->last_base : 0;
}

unsigned follow_rotations(const struct follow *follow)
{
    return follow->rotations;
}
