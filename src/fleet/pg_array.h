/* SPDX-License-Identifier: MIT */
/*
 * pg_array.h - an array parameter of SQL as text: {1,2}, {"a","b \"c\""}.  Failures stick in the strbuf.
 */
#ifndef FLEET_PG_ARRAY_H
#define FLEET_PG_ARRAY_H

#include <stdint.h>

#include "base/strbuf.h"

void pg_array_begin(struct strbuf *array);
void pg_array_add_text(struct strbuf *array, const char *text);
void pg_array_add_int(struct strbuf *array, int64_t value);
void pg_array_end(struct strbuf *array);

#endif
