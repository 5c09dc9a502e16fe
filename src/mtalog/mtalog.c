/* SPDX-License-Identifier: MIT */
#include "mtalog/mtalog.h"

#include <stdlib.h>
#include <string.h>

#include "reader.h"

struct mtalog {
    struct mtalog_settings settings;
    struct emitter emitter;
    const struct reader_methods *methods;
    void *reader;
};

static const struct reader_methods *const READERS[] = {
    [MTALOG_EXIM] = &exim_reader,
    [MTALOG_POSTFIX] = &postfix_reader,
};

enum status mtalog_new(const struct mtalog_settings *settings, struct mtalog **log_out, struct err *err)
{
    struct mtalog *log = calloc(1, sizeof *log);

    if (log == NULL)
        return err_set(err, ST_NOMEM, "log reader: out of memory");
    log->settings = *settings;
    log->methods = READERS[settings->mta];
    emitter_init(&log->emitter, &log->settings);
    log->reader = log->methods->new_reader(&log->emitter);
    if (log->reader == NULL) {
        mtalog_free(&log);
        return err_set(err, ST_NOMEM, "log reader: out of memory");
    }
    *log_out = log;
    return ST_OK;
}

void mtalog_free(struct mtalog **log)
{
    if (*log == NULL)
        return;
    if ((*log)->reader != NULL)
        (*log)->methods->free_reader((*log)->reader);
    emitter_done(&(*log)->emitter);
    free(*log);
    *log = NULL;
}

void mtalog_set_now(struct mtalog *log, int64_t now_s)
{
    log->emitter.stamps.now_s = now_s;
}

enum status mtalog_feed(struct mtalog *log, struct span line, uint64_t offset, struct err *err)
{
    log->emitter.counts.lines++;
    if (line.len > MTALOG_LINE_MAX) {
        log->emitter.counts.too_long++;
        return ST_OK;
    }
    log->emitter.err = err;
    return log->methods->feed(log->reader, line, offset);
}

enum status mtalog_flush(struct mtalog *log, struct err *err)
{
    log->emitter.err = err;
    return log->methods->flush(log->reader);
}

uint64_t mtalog_replay_offset(const struct mtalog *log, uint64_t next_offset)
{
    return log->methods->replay_offset(log->reader, next_offset);
}

void mtalog_get_memory(const struct mtalog *log, uint64_t words_out[MTALOG_MEMORY_WORDS])
{
    memset(words_out, 0, MTALOG_MEMORY_WORDS * sizeof words_out[0]);
    if (log->methods->get_memory != NULL)
        log->methods->get_memory(log->reader, words_out);
}

void mtalog_set_memory(struct mtalog *log, const uint64_t words[MTALOG_MEMORY_WORDS])
{
    if (log->methods->set_memory != NULL)
        log->methods->set_memory(log->reader, words);
}

const struct mtalog_counts *mtalog_counts(const struct mtalog *log)
{
    return &log->emitter.counts;
}
