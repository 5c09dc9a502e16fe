/* SPDX-License-Identifier: MIT */
/*
 * A reader that ends behind any line, and a fresh one that begins at its replay offset, tell together what
 * one reader tells alone: nothing twice, nothing lost.  Tried behind every line of all recorded logs, put one
 * behind the other and also shuffled into one another, as busy hosts write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strbuf.h"
#include "mtalog/mtalog.h"

#define NOW_S     1795290000
#define LINES_MAX 4000

struct log_line {
    struct span text;
    uint64_t offset;
};

static struct strbuf bytes;
static struct log_line lines[LINES_MAX];
static size_t line_count;

struct emitted {
    bool is_silent;
    uint64_t hash; /* of everything that was told, in order */
    size_t count;
};

static void add_text(struct emitted *emitted, const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        emitted->hash = (emitted->hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    emitted->hash = (emitted->hash ^ 0x100) * UINT64_C(0x100000001b3);
}

static enum status emit(void *context, const struct session_result *result, int64_t utc_s)
{
    const struct result_policy *policy = &result->policies[0];
    struct emitted *emitted = context;

    (void)utc_s;
    if (emitted->is_silent)
        return ST_OK;
    add_text(emitted, result->domain);
    add_text(emitted, policy->policy.domain);
    add_text(emitted, policy_type_name(policy->policy.type));
    add_text(emitted, policy->is_failed ? result_type_name(policy->details[0].result_type) : "success");
    add_text(emitted, policy->is_failed ? policy->details[0].failure_reason_code : "");
    emitted->count++;
    return ST_OK;
}

static struct mtalog *new_reader(enum mtalog_mta mta, struct emitted *emitted)
{
    static const char *const SENDERS[] = {"us@us.test"};
    const struct mtalog_settings settings = {.mta = mta,
                                             .mandatory_tls = POLICY_NO_POLICY_FOUND,
                                             .ignored_senders = SENDERS,
                                             .ignored_sender_count = 1,
                                             .on_result = emit,
                                             .context = emitted};
    struct mtalog *log;
    struct err err;

    assert_int_equal(mtalog_new(&settings, &log, &err), ST_OK);
    mtalog_set_now(log, NOW_S);
    return log;
}

static void feed(struct mtalog *log, size_t from, size_t to)
{
    struct err err;

    for (size_t i = from; i < to; i++)
        assert_int_equal(mtalog_feed(log, lines[i].text, lines[i].offset, &err), ST_OK);
}

static void end(struct mtalog *log)
{
    struct err err;

    assert_int_equal(mtalog_flush(log, &err), ST_OK);
    mtalog_free(&log);
}

static size_t line_at(uint64_t offset)
{
    size_t i = 0;

    while (i < line_count && lines[i].offset < offset)
        i++;
    return i;
}

static void check_every_cut(enum mtalog_mta mta)
{
    struct emitted whole = {.is_silent = false};
    struct mtalog *log = new_reader(mta, &whole);

    feed(log, 0, line_count);
    end(log);
    assert_true(whole.count > 50);
    for (size_t cut = 0; cut <= line_count; cut++) {
        uint64_t next = cut < line_count ? lines[cut].offset : bytes.len;
        uint64_t memory[MTALOG_MEMORY_WORDS];
        struct emitted emitted = {.is_silent = false};
        size_t from;

        log = new_reader(mta, &emitted);
        feed(log, 0, cut);
        from = line_at(mtalog_replay_offset(log, next));
        mtalog_get_memory(log, memory);
        mtalog_free(&log);
        assert_true(from <= cut);
        log = new_reader(mta, &emitted);
        mtalog_set_memory(log, memory);
        emitted.is_silent = true;
        feed(log, from, cut);
        emitted.is_silent = false;
        feed(log, cut, line_count);
        end(log);
        if (emitted.hash != whole.hash)
            fail_msg("cut behind line %zu of %zu (replayed from %zu): told %zu, wanted %zu\n%.*s", cut,
                     line_count, from, emitted.count, whole.count, (int)lines[cut > 0 ? cut - 1 : 0].text.len,
                     lines[cut > 0 ? cut - 1 : 0].text.at);
    }
}

/* ---- the log ---- */

static void add_file(const char *folder, const char *name)
{
    char path[512];
    struct err err;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_read(path, &bytes, &err), ST_OK);
}

static void split_lines(void)
{
    const char *at = bytes.data;

    line_count = 0;
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");

        assert_true(line_count < LINES_MAX);
        lines[line_count].text = (struct span){at, len};
        lines[line_count++].offset = (uint64_t)(at - bytes.data);
        at += len + (at[len] == '\n');
    }
}

static void read_logs(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);

    strbuf_init(&bytes, 4 * 1024 * 1024);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        if (strstr(entries[i]->d_name, ".log") != NULL)
            add_file(folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    split_lines();
}

/*
 * Deal the lines onto `hands` and play them in turn: the lines of one file stay in order, those of different
 * ones mix. Each hand is one host, so that process ids do not clash as they never would.
 */
static void shuffle(size_t hands)
{
    struct strbuf mixed;
    size_t part = (line_count + hands - 1) / hands;

    strbuf_init(&mixed, 4 * 1024 * 1024);
    for (size_t i = 0; i < part; i++)
        for (size_t hand = 0; hand < hands; hand++) {
            const struct log_line *line = &lines[hand * part + i];
            const char *host = NULL;

            if (hand * part + i >= line_count)
                continue;
            host = strstr(line->text.at, " pf3");
            if (host != NULL && (size_t)(host - line->text.at) < line->text.len) {
                strbuf_add(&mixed, line->text.at, (size_t)(host - line->text.at) + 1);
                strbuf_addf(&mixed, "h%zu", hand);
                strbuf_add(&mixed, host + 1, line->text.len - (size_t)(host - line->text.at) - 1);
            } else {
                strbuf_add(&mixed, line->text.at, line->text.len);
            }
            strbuf_add_char(&mixed, '\n');
        }
    strbuf_done(&bytes);
    bytes = mixed;
    assert_false(strbuf_is_failed(&bytes));
    split_lines();
}

static void check_folder(const char *folder, enum mtalog_mta mta, size_t hands)
{
    read_logs(folder);
    if (hands > 1)
        shuffle(hands);
    check_every_cut(mta);
    strbuf_done(&bytes);
}

static void test_exim(void **state)
{
    (void)state;
    check_folder("tests/data/mta/exim-4.96", MTALOG_EXIM, 1);
    check_folder("tests/data/mta/exim-4.96", MTALOG_EXIM, 7);
}

static void test_postfix_3_7(void **state)
{
    (void)state;
    check_folder("tests/data/mta/postfix-3.7", MTALOG_POSTFIX, 1);
    check_folder("tests/data/mta/postfix-3.7", MTALOG_POSTFIX, 7);
}

/* What the recordings lack: several recipients of one failed attempt, a plug-in's word, mail from ourselves.
 */
static void test_postfix_hints(void **state)
{
#define P "Nov 21 18:23:07 pf3 postfix/smtp[77]: "
#define NO_TLS                                                                                               \
    "relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=4.7.4, status=deferred (TLS is required, "  \
    "but was not offered by host mx)"
    static const char LINES[] =
        "Nov 21 18:23:06 pf3 postfix-tlspol[5]: INFO  Evaluated policy for \"a.test\": secure match=mx "
        "(cached)\n"
        "Nov 21 18:23:07 pf3 postfix/qmgr[5]: 48111AD8A36: from=<x@b.test>, size=9, nrcpt=1\n" P
        "Verified TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3\n" P
        "48111AD8A36: to=<u@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=2, "
        "status=sent (250)\n" P "48111AD8A37: to=<u@a.test>, " NO_TLS "\n" P
        "48111AD8A37: to=<v@a.test>, " NO_TLS "\n"
        "Nov 21 18:23:08 pf3 postfix/qmgr[5]: 48111AD8A38: from=<us@us.test>, size=9, nrcpt=1\n" P
        "Trusted TLS connection established to mx.a.test[192.0.2.1]:25: TLSv1.3\n" P
        "48111AD8A38: to=<w@a.test>, relay=mx.a.test[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=2, "
        "status=sent (250)\n";

    (void)state;
    strbuf_init(&bytes, 1024 * 1024);
    for (int i = 0; i < 30; i++)
        strbuf_add_text(&bytes, LINES);
    split_lines();
    check_every_cut(MTALOG_POSTFIX);
    strbuf_done(&bytes);
}

static void test_postfix_3_10(void **state)
{
    (void)state;
    check_folder("tests/data/mta/postfix-3.10", MTALOG_POSTFIX, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exim),
        cmocka_unit_test(test_postfix_3_7),
        cmocka_unit_test(test_postfix_3_10),
        cmocka_unit_test(test_postfix_hints),
    };

    (void)setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
