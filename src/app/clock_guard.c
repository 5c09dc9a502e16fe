/* SPDX-License-Identifier: MIT */
/*
 * The file "clock" has one line for each thing that is remembered:
 *   trusted UTC_S BOOT_S BOOT_ID
 *   doubted UTC_S BOOT_S BOOT_ID
 *   ledger SECONDS
 * A file that cannot be understood is taken for none: the clock is trusted as in the first run.
 */
#include "app/clock_guard.h"

#include <stdlib.h>
#include <string.h>

#include "app/log_events.h"
#include "app/stores.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "model/utc_day.h"

#define JUMP_S     (UTC_DAY_SECONDS + 60) /* a smaller one is no jump; seconds are rounded, and may leap */
#define CONFIRM_S  3600                   /* how long a jump must last */
#define OFF_MAX_S  (31 * UTC_DAY_SECONDS) /* a machine that was off for longer has nothing left to report */
#define ROUNDING_S 2
#define REMEMBER_S 600 /* how often the file is written while nothing happens */
#define FILE_MAX   1000
#define UTC_S_MAX  INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define BOOT_ID    "/proc/sys/kernel/random/boot_id"

#define BOOT_ID_DIGITS "0123456789abcdef"

/* ---- the rule ---- */

static bool is_same_boot(const struct clock_moment *from, const struct clock_moment *now)
{
    return strcmp(from->boot_id, now->boot_id) == 0 && now->boot_s >= from->boot_s;
}

/*
 * Real seconds between the two.  After another start the clock is believed, but no further than the time since
 * that start; in a container, which may start while the machine runs, less may have passed.
 */
static int64_t passed_s(const struct clock_moment *from, const struct clock_moment *now)
{
    int64_t clock_s = now->utc_s - from->utc_s;

    if (is_same_boot(from, now))
        return now->boot_s - from->boot_s;
    return clock_s < 0 ? 0 : clock_s < now->boot_s ? clock_s : now->boot_s;
}

/* By how much the clock moved more than it should have.  Time for which the machine was off is unknown, and
 * counts as a jump. */
static int64_t jump_s(const struct clock_moment *from, const struct clock_moment *now)
{
    return now->utc_s - from->utc_s - passed_s(from, now);
}

static bool agrees(const struct clock_moment *from, const struct clock_moment *now)
{
    int64_t jump = jump_s(from, now);

    return jump <= JUMP_S && jump >= -JUMP_S;
}

/* For a time that the machine was off the clock is believed, but only one day of it. */
static int64_t ledger_step_s(const struct clock_moment *from, const struct clock_moment *now)
{
    int64_t off_s = is_same_boot(from, now) ? 0 : jump_s(from, now);

    return passed_s(from, now) + (off_s < 0 ? 0 : off_s > UTC_DAY_SECONDS ? UTC_DAY_SECONDS : off_s);
}

/*
 * Is it the same jump that was doubted before?  After another start a clock that runs while the machine is off has
 * moved by the time since the start, and by the time off, which is unknown.  One without a battery, which begins at
 * the same time at each start, has moved by less; in a container, as in passed_s, so may the right one: the hour
 * starts anew.
 */
static bool is_same_jump(const struct clock_moment *doubted, const struct clock_moment *now)
{
    int64_t clock_s = now->utc_s - doubted->utc_s;

    if (is_same_boot(doubted, now))
        return agrees(doubted, now);
    return clock_s >= 0 && clock_s >= now->boot_s - ROUNDING_S && clock_s <= OFF_MAX_S;
}

/* By the time that nobody sets; over starts of the machine by the clock. */
static bool has_lasted(const struct clock_moment *doubted, const struct clock_moment *now)
{
    return (is_same_boot(doubted, now) ? passed_s(doubted, now) : now->utc_s - doubted->utc_s) >= CONFIRM_S;
}

static void trust(struct clock_memory *memory, const struct clock_moment *now)
{
    if (memory->has_trusted)
        memory->ledger_s += ledger_step_s(&memory->trusted, now);
    memory->trusted = *now;
    memory->has_trusted = true;
    memory->has_doubted = false;
}

enum clock_verdict clock_guard_judge(struct clock_memory *memory, const struct clock_moment *now,
                                     bool is_accepted)
{
    if (!memory->has_trusted || agrees(&memory->trusted, now)) {
        trust(memory, now);
        return CLOCK_TRUSTED;
    }
    if (!memory->has_doubted || !is_same_jump(&memory->doubted, now))
        memory->doubted = *now;
    memory->has_doubted = true;
    if (!is_accepted && !has_lasted(&memory->doubted, now))
        return CLOCK_DOUBTED;
    trust(memory, now);
    return CLOCK_CONFIRMED;
}

/* ---- the moment ---- */

/* With or without dashes: the kernel writes them, systemd does not. */
static void take_boot_id(struct span text, char id_out[CLOCK_BOOT_ID_SIZE])
{
    size_t len = 0;

    for (size_t i = 0; i < text.len && len < CLOCK_BOOT_ID_SIZE - 1; i++)
        if (memchr(BOOT_ID_DIGITS, text.at[i], sizeof BOOT_ID_DIGITS - 1) != NULL)
            id_out[len++] = text.at[i];
    id_out[len] = '\0';
}

/* Where it is unknown each start looks like the same one, until the time since the start is smaller. */
static void read_boot_id(char id_out[CLOCK_BOOT_ID_SIZE])
{
    const char *given = getenv("TLSRPT_GEN_BOOT_ID");
    struct strbuf text;

    strbuf_init(&text, 100);
    if (given != NULL)
        strbuf_add(&text, given, strnlen(given, 100));
    else if (file_read(BOOT_ID, &text, NULL) != ST_OK)
        strbuf_reset(&text);
    take_boot_id((struct span){text.data, text.len}, id_out);
    strbuf_done(&text);
}

static struct clock_moment read_moment(int64_t now_s)
{
    struct clock_moment moment = {.utc_s = now_s, .boot_s = clock_boot_s()};

    read_boot_id(moment.boot_id);
    return moment;
}

/* ---- the file ---- */

static struct clock_moment take_moment(struct cursor *cursor)
{
    struct clock_moment moment = {.utc_s = (int64_t)cursor_take_number(cursor, UTC_S_MAX)};

    cursor_expect(cursor, " ");
    moment.boot_s = (int64_t)cursor_take_number(cursor, UTC_S_MAX);
    cursor_expect(cursor, " ");
    take_boot_id(cursor_take_while(cursor, BOOT_ID_DIGITS), moment.boot_id);
    return moment;
}

static struct clock_memory parse(const char *text, size_t len)
{
    static const struct clock_memory NOTHING;
    struct clock_memory memory = NOTHING;
    struct cursor cursor;

    cursor_init(&cursor, text, len);
    while (!cursor_at_end(&cursor)) {
        if (cursor_skip_word(&cursor, "trusted ")) {
            memory.trusted = take_moment(&cursor);
            memory.has_trusted = true;
        } else if (cursor_skip_word(&cursor, "doubted ")) {
            memory.doubted = take_moment(&cursor);
            memory.has_doubted = true;
        } else {
            cursor_expect(&cursor, "ledger ");
            memory.ledger_s = (int64_t)cursor_take_number(&cursor, UTC_S_MAX);
        }
        cursor_expect(&cursor, "\n");
    }
    return cursor.is_failed ? NOTHING : memory;
}

static enum status load(const char *path, struct clock_memory *memory_out, struct err *err)
{
    struct strbuf text;
    enum status status;

    strbuf_init(&text, FILE_MAX);
    status = file_read(path, &text, err);
    if (status == ST_OK)
        *memory_out = parse(text.data, text.len);
    strbuf_done(&text);
    return status == ST_NOT_FOUND || status == ST_RANGE ? ST_OK : status; /* ST_RANGE: not a file of ours */
}

static long long at_least_0(int64_t seconds)
{
    return seconds > 0 ? (long long)seconds : 0;
}

static void add_moment(struct strbuf *text, const char *name, const struct clock_moment *moment)
{
    strbuf_addf(text, "%s %lld %lld %s\n", name, at_least_0(moment->utc_s), at_least_0(moment->boot_s),
                moment->boot_id);
}

static enum status save(const char *path, const struct clock_memory *memory, struct err *err)
{
    struct strbuf text;
    enum status status;

    strbuf_init(&text, FILE_MAX);
    if (memory->has_trusted)
        add_moment(&text, "trusted", &memory->trusted);
    if (memory->has_doubted)
        add_moment(&text, "doubted", &memory->doubted);
    strbuf_addf(&text, "ledger %lld\n", (long long)memory->ledger_s);
    status = strbuf_is_failed(&text) ? err_set(err, ST_NOMEM, "%s: out of memory", path)
                                     : file_replace(path, text.data, text.len, 0600, err);
    strbuf_done(&text);
    return status;
}

/* Each run would be often enough to wear out a small disk: a push comes every minute. */
static bool is_news(const struct clock_memory *old, const struct clock_memory *memory)
{
    return old->has_trusted != memory->has_trusted || old->has_doubted != memory->has_doubted ||
           old->doubted.utc_s != memory->doubted.utc_s || !is_same_boot(&old->trusted, &memory->trusted) ||
           passed_s(&old->trusted, &memory->trusted) >= REMEMBER_S;
}

/* ---- all together ---- */

static enum status log_verdict(enum clock_verdict verdict, const struct clock_memory *old,
                               const struct clock_moment *now, bool is_accepted, struct err *err)
{
    char is[UTC_STAMP_TEXT_SIZE], expected[UTC_STAMP_TEXT_SIZE];

    utc_stamp_format(now->utc_s, is);
    utc_stamp_format(old->trusted.utc_s + passed_s(&old->trusted, now), expected);
    if (verdict == CLOCK_CONFIRMED) {
        LOG_FACT(EV_CLOCK_ACCEPTED, log_text("clock", is), log_text("expected", expected),
                 log_text("reason", is_accepted ? "--accept-clock" : "confirmed by a second run"));
        return ST_OK;
    }
    LOG_FACT(EV_CLOCK_DOUBTED, log_text("clock", is), log_text("expected", expected),
             log_text("mend", "set the clock; if it is right, wait, or run tlsrpt-gen --accept-clock"));
    return err_set(
        err, ST_TEMPORARY,
        "the clock says %s, but %s was expected; nothing is deleted, closed or sent until a run in an "
        "hour finds the same; if the clock is right and this host was off, tlsrpt-gen --accept-clock "
        "goes on at once",
        is, expected);
}

enum status clock_guard_check(const struct config *config, int64_t now_s, bool is_accepted,
                              struct clock_answer *answer_out, struct err *err)
{
    const struct clock_moment now = read_moment(now_s);
    struct clock_memory old = {.has_trusted = false}, memory;
    enum clock_verdict verdict;
    char path[PATH_MAX];
    enum status logged = ST_OK, status = stores_path(config, "clock", path, err);

    *answer_out = (struct clock_answer){.is_trusted = false};
    if (status == ST_OK)
        status = load(path, &old, err);
    if (status != ST_OK)
        return status;
    memory = old;
    verdict = clock_guard_judge(&memory, &now, is_accepted);
    *answer_out = (struct clock_answer){.is_trusted = verdict != CLOCK_DOUBTED, .ledger_s = memory.ledger_s};
    if (verdict == CLOCK_CONFIRMED || is_news(&old, &memory))
        status = save(path, &memory, err);
    if (verdict != CLOCK_TRUSTED)
        logged = log_verdict(verdict, &old, &now, is_accepted, err);
    return logged != ST_OK ? logged : status;
}
