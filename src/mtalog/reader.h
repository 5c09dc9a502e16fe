/* SPDX-License-Identifier: MIT */
/*
 * reader.h - inside mtalog: what a reader of one MTA's log can do.  Each is a row here and a file of its own.
 */
#ifndef MTALOG_READER_H
#define MTALOG_READER_H

#include "session.h"

struct reader_methods {
    /* NULL: out of memory.  emitter is borrowed. */
    void *(*new_reader)(struct emitter *emitter);
    void (*free_reader)(void *reader);
    enum status (*feed)(void *reader, struct span line, uint64_t offset);
    enum status (*flush)(void *reader);
    uint64_t (*replay_offset)(const void *reader, uint64_t next_offset);
    void (*get_memory)(const void *reader, uint64_t words_out[MTALOG_MEMORY_WORDS]);
    void (*set_memory)(void *reader, const uint64_t words[MTALOG_MEMORY_WORDS]);
};

extern const struct reader_methods exim_reader;
extern const struct reader_methods postfix_reader;

/* "HOST TAG[PID]: MESSAGE", the part of a syslog line behind its stamp. */
struct syslog_line {
    struct span host;
    struct span tag;
    struct span pid; /* len 0 if there is none */
    struct span message;
};

/* False: not of this form. */
bool syslog_split(struct span rest, struct syslog_line *out);

#endif
