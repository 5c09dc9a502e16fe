/* SPDX-License-Identifier: MIT */
/*
 * A chain of files is read one after the other; its last one is the log itself, which may grow.
 *
 * At the begin the chain is: the remembered file (found again by its mark), everything newer, the log.  At
 * the end of the log, follow_next looks whether the log is still the file that is open: another file stands
 * at the path   the open one is over (after a short time for a writer that still holds it) it became shorter,
 * or begins otherwise   it was truncated: the copy's rest comes first, then the log anew
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

#define OVER_AFTER_MS                                                                                        \
    500 /* a rotated file is over when its successor has bytes and it did not grow for so long */

/* One file of the chain. */
struct link {
    char path[PATH_MAX];
    uint64_t start; /* first byte to read */
    int64_t mtime_ns;
    struct file_mark mark;
};

struct follow {
    const char *path;
    enum follow_mode mode;
    struct link *chain; /* room for FOLLOW_FILES_MAX + 1 */
    size_t count;
    size_t at; /* the link that is open, or is next */
    bool is_open;
    struct source source;
    struct lines lines;
    uint64_t position;     /* stream offset of the next line */
    uint64_t base;         /* stream offset of the open file's first byte */
    struct file_mark mark; /* of the open file */
    uint64_t last_base;    /* the same of the file before; last_mark.is_known tells whether there is one */
    struct file_mark last_mark;
    int64_t over_since_ms; /* since when another file with bytes stands at the path; 0: it does not */
    unsigned rotations;
    /* what was told in an earlier life: up to done_offset of link done_at */
    bool has_done;
    size_t done_at;
    uint64_t done_offset, done_events;
};

/* ---- marks ---- */

static uint64_t hash_bytes(const char *bytes, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The first bytes of what is in a file (inflated). */
static size_t read_head(const char *path, char head[PLACE_HEAD_MAX])
{
    struct source source;
    size_t len = 0, got = 1;

    if (source_open(path, &source, NULL) != ST_OK)
        return 0;
    while (len < PLACE_HEAD_MAX && got > 0 &&
           source_read(&source, head + len, PLACE_HEAD_MAX - len, &got, NULL) == ST_OK)
        len += got;
    source_close(&source);
    return len;
}

static bool same_head(const struct file_mark *mark, const char *head, size_t head_len)
{
    return mark->head_len <= head_len && hash_bytes(head, mark->head_len) == mark->head_hash;
}

/* Mark of an open plain file. */
static void read_mark(int fd, struct file_mark *mark_out)
{
    char head[PLACE_HEAD_MAX];
    ssize_t len = pread(fd, head, sizeof head, 0);
    struct stat stat;

    *mark_out = (struct file_mark){.is_known = 1};
    if (fstat(fd, &stat) == 0) {
        mark_out->device = (uint64_t)stat.st_dev;
        mark_out->inode = (uint64_t)stat.st_ino;
    }
    mark_out->head_len = len > 0 ? (uint32_t)len : 0;
    mark_out->head_hash = hash_bytes(head, mark_out->head_len);
}

static bool same_inode(const struct file_mark *mark, const struct stat *stat)
{
    return mark->device == (uint64_t)stat->st_dev && mark->inode == (uint64_t)stat->st_ino;
}

/* ---- the chain ---- */

static int64_t mtime_of(const struct stat *stat)
{
    return (int64_t)stat->st_mtim.tv_sec * 1000000000 + stat->st_mtim.tv_nsec;
}

static bool make_link(const char *path, struct link *out)
{
    char head[PLACE_HEAD_MAX];
    struct stat stat;

    if (lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode) || strlen(path) >= sizeof out->path)
        return false;
    *out = (struct link){.mtime_ns = mtime_of(&stat)};
    memcpy(out->path, path, strlen(path) + 1);
    out->mark.device = (uint64_t)stat.st_dev;
    out->mark.inode = (uint64_t)stat.st_ino;
    out->mark.head_len = (uint32_t)read_head(path, head);
    out->mark.head_hash = hash_bytes(head, out->mark.head_len);
    out->mark.is_known = 1;
    return true;
}

/* Is it this file, under whatever name?  A head of a few bytes proves something only together with the inode.
 */
static bool is_marked(const struct link *link, const struct file_mark *mark)
{
    char head[PLACE_HEAD_MAX];
    size_t len = read_head(link->path, head);
    bool is_same_inode = link->mark.device == mark->device && link->mark.inode == mark->inode;

    return mark->is_known && same_head(mark, head, len) && (is_same_inode || mark->head_len >= 64);
}

static int compare_links(const void *a, const void *b)
{
    const struct link *x = a, *y = b;

    return x->mtime_ns < y->mtime_ns ? -1 : x->mtime_ns > y->mtime_ns ? 1 : strcmp(x->path, y->path);
}

/* gzip keeps the old file until the new one is whole: the same bytes may be there twice for a moment. */
static bool is_twin(const struct link *links, size_t count, const struct link *other)
{
    for (size_t i = 0; i < count; i++)
        if (links[i].mark.head_len == other->mark.head_len && other->mark.head_len > 0 &&
            links[i].mark.head_hash == other->mark.head_hash)
            return true;
    return false;
}

/* Rotated files of the log: its name followed by '.' or '-' and something, oldest first. */
static size_t find_rotated(const char *path, struct link *links)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    char folder[PATH_MAX], name[PATH_MAX];
    struct dirent *entry;
    size_t count = 0;
    DIR *dir;

    (void)snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
                   slash != NULL ? path : ".");
    dir = opendir(folder);
    while (dir != NULL && count < FOLLOW_FILES_MAX && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(base);

        if (strncmp(entry->d_name, base, len) != 0 ||
            (entry->d_name[len] != '.' && entry->d_name[len] != '-'))
            continue;
        if ((size_t)snprintf(name, sizeof name, "%s%s", slash != NULL ? folder : "", entry->d_name) <
                sizeof name &&
            make_link(name, &links[count]) && !is_twin(links, count, &links[count]))
            count++;
    }
    if (dir != NULL)
        (void)closedir(dir);
    qsort(links, count, sizeof links[0], compare_links);
    return count;
}

/* The first link that is the marked file; count if none is. */
static size_t find_marked(const struct link *links, size_t count, const struct file_mark *mark)
{
    size_t i = 0;

    while (i < count && !is_marked(&links[i], mark))
        i++;
    return i;
}

static void drop_first(struct follow *follow, size_t count)
{
    memmove(follow->chain, follow->chain + count, (follow->count - count) * sizeof follow->chain[0]);
    follow->count -= count;
}

/* All files: the rotated ones by age, then the log, which may be still to come.  Returns how many exist. */
static size_t list_files(struct follow *follow)
{
    size_t count = find_rotated(follow->path, follow->chain);
    struct link *log = &follow->chain[count];
    bool has_log = make_link(follow->path, log);

    if (!has_log) {
        *log = (struct link){.start = 0};
        (void)snprintf(log->path, sizeof log->path, "%s", follow->path);
    }
    follow->count = count + 1;
    follow->at = 0;
    return count + has_log;
}

/*
 * Chain from the place on.  If the file to replay from is gone, nothing is replayed; if the one where reading
 * ended is gone too, everything that changed since is read, and false is returned.
 */
static bool chain_from(struct follow *follow, const struct place *place)
{
    size_t existing = list_files(follow);
    size_t replay = find_marked(follow->chain, existing, &place->replay_file);
    size_t done = find_marked(follow->chain, existing, &place->done_file);
    size_t first = 0;

    follow->has_done = done < existing;
    if (!follow->has_done) {
        while (first + 1 < follow->count && follow->chain[first].mtime_ns / 1000000000 < place->saved_s)
            first++;
    } else if (replay <= done) {
        first = replay;
        follow->chain[first].start = place->replay_offset;
    } else {
        first = done;
        follow->chain[first].start = place->done_offset;
    }
    drop_first(follow, first);
    follow->done_at = done - first;
    follow->done_offset = place->done_offset;
    follow->done_events = place->done_events;
    return follow->has_done;
}

/* ---- moving along the chain ---- */

static void close_link(struct follow *follow)
{
    if (follow->is_open)
        source_close(&follow->source);
    follow->is_open = false;
}

static enum status open_link(struct follow *follow, struct err *err)
{
    struct link *link = &follow->chain[follow->at];
    enum status status = source_open(link->path, &follow->source, err);

    if (status != ST_OK)
        return status;
    if (source_seek(&follow->source, link->start, err) != ST_OK)
        link->start = 0; /* it became shorter meanwhile: begin it anew */
    follow->is_open = true;
    follow->over_since_ms = 0;
    follow->base = follow->position - link->start;
    lines_begin(&follow->lines, link->start);
    if (follow->source.gzip != NULL)
        follow->mark = link->mark;
    else
        read_mark(follow->source.fd, &follow->mark);
    return ST_OK;
}

static void next_link(struct follow *follow)
{
    close_link(follow);
    follow->last_base = follow->base;
    follow->last_mark = follow->mark;
    follow->at++;
    follow->rotations++;
}

/* Find the rest of the open file under its new name, and what came after it. */
static void rebuild(struct follow *follow)
{
    struct place here = {.saved_s = 0};

    here.done_file = here.replay_file = follow->mark;
    here.done_offset = here.replay_offset = follow->position - follow->base;
    close_link(follow);
    if (!chain_from(follow, &here)) {
        follow->last_base = follow->base;
        follow->last_mark = follow->mark;
        drop_first(follow, follow->count - 1); /* only the log itself is left */
        follow->rotations++;
    }
    follow->has_done = false;
}

static bool was_truncated(const struct follow *follow, const struct stat *stat)
{
    char head[PLACE_HEAD_MAX];
    ssize_t len;

    if ((uint64_t)stat->st_size < follow->position - follow->base)
        return true;
    len = pread(follow->source.fd, head, follow->mark.head_len, 0);
    return len < 0 || !same_head(&follow->mark, head, (size_t)len);
}

/* At the end of the log: is the open file over?  A short head grows with its file. */
static bool is_over(struct follow *follow)
{
    struct stat open_file, at_path;

    if (follow->source.gzip != NULL || fstat(follow->source.fd, &open_file) != 0)
        return false;
    if (was_truncated(follow, &open_file))
        return true;
    if (follow->mark.head_len < PLACE_HEAD_MAX)
        read_mark(follow->source.fd, &follow->mark);
    if (stat(follow->path, &at_path) != 0 || at_path.st_size == 0 || same_inode(&follow->mark, &at_path)) {
        follow->over_since_ms = 0;
        return false;
    }
    if (follow->over_since_ms == 0)
        follow->over_since_ms = clock_monotonic_ms();
    return clock_monotonic_ms() - follow->over_since_ms >= OVER_AFTER_MS;
}

/* ---- the interface ---- */

enum status follow_open(const char *path, enum follow_mode mode, const struct place *place,
                        struct follow **follow_out, bool *is_lost_out, struct err *err)
{
    struct follow *follow = calloc(1, sizeof *follow);
    enum status status = ST_OK;

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
    if (place != NULL) {
        *is_lost_out = !chain_from(follow, place);
    } else {
        (void)list_files(follow);
        drop_first(follow, follow->count - 1);
    }
    follow->position = follow->chain[0].start;
    status = open_link(follow, err);
    if (status == ST_NOT_FOUND && mode == FOLLOW_FOREVER)
        status = ST_OK;
    if (status == ST_OK)
        *follow_out = follow;
    else
        follow_close(&follow);
    return status;
}

void follow_close(struct follow **follow)
{
    if (*follow == NULL)
        return;
    close_link(*follow);
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
        out->told_events = follow->done_events;
}

/* The end of the open file was reached.  ST_OK with a line, or ST_BUSY: try again, or ST_NOT_FOUND: that was
 * all. */
static enum status at_end(struct follow *follow, struct follow_line *line_out)
{
    struct span text;
    uint64_t offset;

    if (follow->at + 1 < follow->count) {
        if (lines_take_rest(&follow->lines, &text, &offset)) {
            fill_line(follow, text, offset, line_out);
            return ST_OK;
        }
        next_link(follow);
        return ST_BUSY;
    }
    if (follow->mode == FOLLOW_TO_END || !is_over(follow))
        return ST_NOT_FOUND;
    rebuild(follow);
    return ST_BUSY;
}

enum status follow_next(struct follow *follow, struct follow_line *line_out, struct err *err)
{
    enum status status = ST_BUSY;

    while (status == ST_BUSY) {
        struct span text;
        uint64_t offset;

        if (!follow->is_open) {
            status = open_link(follow, err);
            if (status == ST_NOT_FOUND && follow->at + 1 < follow->count) { /* removed meanwhile */
                follow->at++;
                status = ST_BUSY;
                continue;
            }
            if (status != ST_OK)
                return status;
        }
        status = lines_next(&follow->lines, &follow->source, &text, &offset, err);
        if (status == ST_OK)
            fill_line(follow, text, offset, line_out);
        else if (status == ST_NOT_FOUND)
            status = at_end(follow, line_out);
    }
    return status;
}

uint64_t follow_offset(const struct follow *follow)
{
    return follow->position;
}

void follow_get_place(const struct follow *follow, uint64_t done, uint64_t replay, struct place *place)
{
    place->done_file = place->replay_file = follow->mark;
    place->done_offset = done - follow->base;
    place->replay_offset = replay - follow->base;
    if (replay >= follow->base)
        return;
    place->replay_offset = 0;
    if (!follow->last_mark.is_known)
        return;
    place->replay_file = follow->last_mark;
    place->replay_offset = replay > follow->last_base ? replay - follow->last_base : 0;
}

unsigned follow_rotations(const struct follow *follow)
{
    return follow->rotations;
}
