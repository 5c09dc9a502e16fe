/* SPDX-License-Identifier: MIT */
/*
 * exim_grammar.h - inside mtalog: parse the lines of Exim's mainlog.  The grammar is at the head of exim.c.
 *
 * Texts in them come from servers and senders: fields are looked for only before the first one that a server
 * could have written.  Spans borrow the line.
 */
#ifndef MTALOG_EXIM_GRAMMAR_H
#define MTALOG_EXIM_GRAMMAR_H

#include "session.h"

/* A recipient's line. */
struct exim_delivery {
    struct span domain;
    struct span host;
    struct span ip;
    struct span interface; /* "[address]:port" of our end; len 0 if not logged */
    bool is_first;         /* "=>" or ">>" */
    bool has_failed;       /* "**" or "==" */
    bool is_continued;     /* the connection served another message before */
    bool has_tls;
    bool is_dane;
    struct span text;
};

/* Up to the next blank that is not in double quotes, and over it. */
struct span exim_take_token(struct cursor *cursor);

/* 6-6-2 characters up to Exim 4.96, 6-11-4 since 4.97, and the blank behind them; len 0 if there is none. */
struct span exim_take_message_id(struct cursor *cursor);

/* "[IP]": what is in the brackets; the cursor fails if there are none. */
struct span exim_take_bracketed(struct cursor *cursor);

/* What follows a message id: "=> ADDRESS ..", at least three bytes. */
void exim_parse_delivery(struct span rest, struct exim_delivery *out);

#endif
