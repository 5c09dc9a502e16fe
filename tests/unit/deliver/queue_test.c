/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "deliver/queue.h"

/* The host of item i is the i-th letter. */
static const char *letter_at(void *context, size_t index)
{
    static const char *const NAMES[] = {"a", "b", "c", "d"};

    return NAMES[((const char *)context)[index] - 'a'];
}

static void open_queue(struct queue *queue, char *letters, struct queue_limits limits)
{
    assert_int_equal(queue_open(queue, &limits, strlen(letters), letter_at, letters, NULL), ST_OK);
}

struct left {
    char text[256];
};

static void note_left(void *context, const char *host, size_t count, enum queue_left why)
{
    struct left *left = context;
    size_t len = strlen(left->text);

    (void)snprintf(left->text + len, sizeof left->text - len, "%s:%zu:%d ", host, count, (int)why);
}

static void assert_left(const struct queue *queue, const char *want)
{
    struct left left = {.text = ""};

    queue_each_left(queue, note_left, &left);
    assert_string_equal(left.text, want);
}

/*
 * A script for one queue: 't' take (must be the next digit), '-' take must find nothing, '+' the next digit
 * is delivered and done, '!' it fails and is done, 'x' it is refused and done.
 */
static void play(const char *what, struct queue *queue, const char *script)
{
    for (const char *at = script; *at != '\0'; at++) {
        size_t index = 0;
        enum delivery_result_kind kind = *at == '+'   ? DELIVERY_RESULT_DELIVERED
                                         : *at == '!' ? DELIVERY_RESULT_TRY_LATER
                                                      : DELIVERY_RESULT_GIVE_UP;

        if (*at == ' ')
            continue;
        if (*at == '-') {
            if (queue_take(queue, &index))
                fail_msg("%s: took %zu at \"%s\"", what, index, at);
            continue;
        }
        if (*at == 't') {
            at++;
            if (!queue_take(queue, &index) || index != (size_t)(*at - '0'))
                fail_msg("%s: took %zu at \"%s\"", what, index, at);
            continue;
        }
        at++;
        queue_settle(queue, (size_t)(*at - '0'), kind);
        queue_release(queue, (size_t)(*at - '0'));
    }
}

static void test_what_comes_next(void **state)
{
    static const struct {
        const char *what;
        char letters[12];
        struct queue_limits limits;
        const char *script;
        const char *left;
    } ROWS[] = {
        {"no limits: in order", "aabc", {0}, "t0 t1 t2 t3 -", ""},
        {"nothing", "", {0}, "-", ""},
        {"one host at a time", "aaabb", {.at_once = 1}, "t0 t3 - +0 t1 - +3 t4 - +1 +4 t2 -", ""},
        {"it goes on with the host that it is at", "aaabb", {.at_once = 2}, "t0 t1 t3 t4 - +0 +1 t2 -", ""},
        {"a dead host gets exactly its failures",
         "aaaaaaab",
         {.at_once = 8, .failures = 3},
         "t0 t1 t2 t7 - !0 - !1 - !2 - +7 -",
         "a:4:1 "},
        {"one success lets more in",
         "aaaaaaab",
         {.at_once = 4, .failures = 2},
         "t0 t1 t7 - +0 t2 t3 t4 - +1 t5 -",
         "a:1:0 "},
        {"failures after success count too",
         "aaaaaaab",
         {.at_once = 4, .failures = 2},
         "t0 +0 t1 t2 t3 t4 t7 - !1 - !2 - +3 +4 -",
         "a:2:1 "},
        {"a refusal is an answer", "aaaab", {.at_once = 4, .failures = 1}, "t0 x0 t1 t2 t3 t4 -", ""},
        {"a host has its share", "aaaab", {.per_host = 2}, "t0 t1 t4 -", "a:2:2 "},
        {"a run has its share", "aaabb", {.per_run = 4}, "t0 t1 t2 t3 -", "b:1:3 "},
        {"time is up", "aab", {0}, "t0", "a:1:0 b:1:0 "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char letters[12];
        struct queue queue;

        memcpy(letters, ROWS[i].letters, sizeof letters);
        open_queue(&queue, letters, ROWS[i].limits);
        play(ROWS[i].what, &queue, ROWS[i].script);
        assert_left(&queue, ROWS[i].left);
        queue_close(&queue);
    }
}

static void test_more_go_along(void **state)
{
    char letters[] = "aaabbb";
    struct queue queue;
    size_t index;

    (void)state;
    open_queue(&queue, letters, (struct queue_limits){.at_once = 1, .per_host = 2});
    assert_true(queue_take(&queue, &index));
    assert_true(queue_take_along(&queue, index, &index));
    assert_int_equal(index, 1);
    assert_false(queue_take_along(&queue, index, &index));
    assert_true(queue_take(&queue, &index));
    assert_int_equal(index, 3);
    assert_false(queue_take(&queue, &index));
    queue_close(&queue);
}

static void test_preview(void **state)
{
    char letters[] = "aaaabbbbc";
    size_t got[16];
    struct queue queue;
    size_t index;

    (void)state;
    open_queue(&queue, letters, (struct queue_limits){.at_once = 2, .failures = 5});
    assert_int_equal(queue_preview(&queue, got, 16), 5); /* two of each until they show that they work */
    assert_int_equal(got[2], 4);
    assert_int_equal(got[4], 8);
    assert_true(queue_take(&queue, &index));
    queue_settle(&queue, index, DELIVERY_RESULT_DELIVERED);
    queue_release(&queue, index);
    assert_int_equal(queue_preview(&queue, got, 16), 6); /* all that a has left */
    assert_int_equal(got[0], 1);
    assert_int_equal(got[2], 3);
    assert_int_equal(queue_preview(&queue, got, 2), 2);
    queue_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_next),
        cmocka_unit_test(test_more_go_along),
        cmocka_unit_test(test_preview),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
