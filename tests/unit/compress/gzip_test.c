/* SPDX-License-Identifier: MIT */
/* One gzip member in, one out, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "compress/gzip.h"

static void pack(struct gzip *gzip, const char *bytes, size_t len, size_t step, struct strbuf *out)
{
    struct err err;

    gzip_begin(gzip, out);
    for (size_t at = 0; at < len; at += step)
        assert_int_equal(gzip_add(gzip, bytes + at, len - at < step ? len - at : step, &err), ST_OK);
    assert_int_equal(gzip_end(gzip, &err), ST_OK);
}

static void test_round_trip_and_same_bytes_each_time(void **state)
{
    enum {
        SIZE = 300000
    };
    char *bytes = malloc(SIZE);
    struct strbuf first, second, back;
    struct gzip gzip;
    struct err err;

    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)((i * i) >> 7);
    strbuf_init(&first, SIZE * 2);
    strbuf_init(&second, SIZE * 2);
    strbuf_init(&back, SIZE);
    assert_int_equal(gzip_open(&gzip, &err), ST_OK);
    pack(&gzip, bytes, SIZE, 4096, &first);
    pack(&gzip, bytes, SIZE, 4096, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    assert_int_equal(gzip_inflate(first.data, first.len, &back, &err), ST_OK);
    assert_int_equal(back.len, SIZE);
    assert_memory_equal(back.data, bytes, SIZE);
    gzip_close(&gzip);
    strbuf_done(&first);
    strbuf_done(&second);
    strbuf_done(&back);
    free(bytes);
}

/* R38: magic, deflate, no flags (no name, no comment), time 0. */
static void test_header(void **state)
{
    struct strbuf out;
    struct gzip gzip;
    struct err err;

    (void)state;
    strbuf_init(&out, 1000);
    assert_int_equal(gzip_open(&gzip, &err), ST_OK);
    pack(&gzip, "{}", 2, 2, &out);
    assert_memory_equal(out.data, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
    gzip_close(&gzip);
    strbuf_done(&out);
}

static void test_a_full_buffer_is_said(void **state)
{
    struct strbuf out;
    struct gzip gzip;
    struct err err;

    (void)state;
    strbuf_init(&out, 10);
    assert_int_equal(gzip_open(&gzip, &err), ST_OK);
    gzip_begin(&gzip, &out);
    assert_int_equal(gzip_add(&gzip, "some text", 9, &err), ST_OK); /* still inside zlib */
    assert_int_equal(gzip_end(&gzip, &err), ST_FULL);
    gzip_close(&gzip);
    strbuf_done(&out);
}

static void test_bad_members(void **state)
{
    struct strbuf good, copy, out;
    struct gzip gzip;
    struct err err;

    (void)state;
    strbuf_init(&good, 1000);
    strbuf_init(&copy, 1000);
    strbuf_init(&out, 1000);
    assert_int_equal(gzip_open(&gzip, &err), ST_OK);
    pack(&gzip, "some text that is long enough", 29, 29, &good);
    gzip_close(&gzip);
    for (size_t len = 0; len < good.len; len++) { /* cut short anywhere */
        strbuf_reset(&out);
        assert_int_equal(gzip_inflate(good.data, len, &out, &err), ST_SYNTAX);
    }
    strbuf_add(&copy, good.data, good.len);
    copy.data[good.len - 8] ^= 1; /* CRC */
    strbuf_reset(&out);
    assert_int_equal(gzip_inflate(copy.data, copy.len, &out, &err), ST_SYNTAX);
    strbuf_reset(&copy);
    strbuf_add(&copy, good.data, good.len);
    strbuf_add(&copy, good.data, good.len); /* a second member */
    strbuf_reset(&out);
    assert_int_equal(gzip_inflate(copy.data, copy.len, &out, &err), ST_SYNTAX);
    strbuf_done(&out);
    strbuf_init(&out, 5);
    assert_int_equal(gzip_inflate(good.data, good.len, &out, &err), ST_RANGE);
    strbuf_done(&good);
    strbuf_done(&copy);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_and_same_bytes_each_time),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_a_full_buffer_is_said),
        cmocka_unit_test(test_bad_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
