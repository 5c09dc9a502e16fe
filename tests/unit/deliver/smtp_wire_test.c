/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "deliver/smtp_wire.h"

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void assert_span(struct span got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.at, want, got.len);
}

/* The payload of the one frame in buf. */
static struct span only_frame(const struct strbuf *buf, enum smtp_wire_type want)
{
    enum smtp_wire_type type;
    struct span payload;
    size_t used;

    assert_false(strbuf_is_failed(buf));
    assert_int_equal(smtp_wire_find(buf->data, buf->len, &type, &payload, &used), SMTP_WIRE_FRAME);
    assert_int_equal(used, buf->len);
    assert_int_equal(type, want);
    for (size_t len = 0; len < buf->len; len++)
        assert_int_equal(smtp_wire_find(buf->data, len, &type, &payload, &used), SMTP_WIRE_MORE);
    assert_int_equal(smtp_wire_find(buf->data, buf->len, &type, &payload, &used), SMTP_WIRE_FRAME);
    return payload;
}

static void test_round_trips(void **state)
{
    const struct smtp_wire_settings settings = {.host = span_of("relay.example"),
                                                .port = 65535,
                                                .address = span_of("192.0.2.1"),
                                                .ehlo_name = span_of("us.example"),
                                                .tls = SMTP_TLS_REQUIRE,
                                                .ca_file = span_of("/ca"),
                                                .user = span_of(""),
                                                .password = span_of("p\xc3\xa4"),
                                                .step_timeout_ms = 60000,
                                                .mailing_ms = 240000};
    const struct smtp_wire_message message = {
        .id = UINT64_MAX, .envelope_from = span_of(""), .recipient = span_of("a@b"), .bytes = {"\0\r\n", 3}};
    const struct smtp_wire_end end = {.stage = DELIVERY_AT_TLS, .code = 454, .text = span_of("not now")};
    struct smtp_wire_settings settings_got;
    struct smtp_wire_message message_got;
    struct smtp_wire_result result_got;
    struct smtp_wire_end end_got;
    enum smtp_progress progress_got;
    struct delivery_result result;
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 4096);
    smtp_wire_put_settings(&buf, &settings);
    assert_true(smtp_wire_read_settings(only_frame(&buf, SMTP_WIRE_SETTINGS), &settings_got));
    assert_span(settings_got.host, "relay.example");
    assert_int_equal(settings_got.port, 65535);
    assert_int_equal(settings_got.tls, SMTP_TLS_REQUIRE);
    assert_span(settings_got.password, "p\xc3\xa4");
    assert_int_equal(settings_got.step_timeout_ms, 60000);
    assert_int_equal(settings_got.mailing_ms, 240000);
    strbuf_reset(&buf);
    smtp_wire_put_message(&buf, &message);
    assert_true(smtp_wire_read_message(only_frame(&buf, SMTP_WIRE_MESSAGE), &message_got));
    assert_int_equal(message_got.id, UINT64_MAX);
    assert_span(message_got.envelope_from, "");
    assert_int_equal(message_got.bytes.len, 3);
    strbuf_reset(&buf);
    smtp_wire_put_progress(&buf, SMTP_PROGRESS_TLS_UP);
    assert_true(smtp_wire_read_progress(only_frame(&buf, SMTP_WIRE_PROGRESS), &progress_got));
    assert_int_equal(progress_got, SMTP_PROGRESS_TLS_UP);
    strbuf_reset(&buf);
    delivery_result_set(&result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_DATA, 451, "later");
    result.is_in_doubt = true;
    smtp_wire_put_result(&buf, 7, &result);
    assert_true(smtp_wire_read_result(only_frame(&buf, SMTP_WIRE_RESULT), &result_got));
    assert_int_equal(result_got.id, 7);
    assert_int_equal(result_got.result.code, 451);
    assert_true(result_got.result.is_in_doubt);
    assert_string_equal(result_got.result.text, "later");
    strbuf_reset(&buf);
    smtp_wire_put_end(&buf, &end);
    assert_true(smtp_wire_read_end(only_frame(&buf, SMTP_WIRE_END), &end_got));
    assert_int_equal(end_got.code, 454);
    assert_span(end_got.text, "not now");
    strbuf_reset(&buf);
    smtp_wire_put_go(&buf);
    assert_int_equal(only_frame(&buf, SMTP_WIRE_GO).len, 0);
    strbuf_done(&buf);
}

static void test_broken_frames(void **state)
{
    static const struct {
        const char *what;
        char bytes[16];
        size_t len;
        enum smtp_wire_found want;
    } ROWS[] = {
        {"nothing", "", 0, SMTP_WIRE_MORE},
        {"half a header", "\0\0\0", 3, SMTP_WIRE_MORE},
        {"an unknown type", "\0\0\0\0X", 5, SMTP_WIRE_BROKEN},
        {"type NUL", "\0\0\0\0\0", 5, SMTP_WIRE_BROKEN},
        {"four gigabytes", "\xff\xff\xff\xffO", 5, SMTP_WIRE_BROKEN},
        {"one byte over the limit", "\x04\0\0\x01O", 5, SMTP_WIRE_BROKEN},
        {"the limit", "\x04\0\0\0O", 5, SMTP_WIRE_MORE},
    };
    enum smtp_wire_type type;
    struct span payload;
    size_t used;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++)
        if (smtp_wire_find(ROWS[i].bytes, ROWS[i].len, &type, &payload, &used) != ROWS[i].want)
            fail_msg("%s", ROWS[i].what);
}

static void test_broken_payloads(void **state)
{
    struct smtp_wire_settings settings;
    struct smtp_wire_result result;
    enum smtp_progress progress;
    struct smtp_wire_end end;

    (void)state;
    assert_false(smtp_wire_read_progress((struct span){"", 0}, &progress));
    assert_false(smtp_wire_read_progress((struct span){"\x05", 1}, &progress));     /* no such progress */
    assert_false(smtp_wire_read_progress((struct span){"\x01\x01", 2}, &progress)); /* bytes left over */
    assert_false(smtp_wire_read_settings((struct span){"\xff\xff\xff\xff", 4}, &settings));
    assert_false(
        smtp_wire_read_end((struct span){"\x01\0\0\0\0\0\0\0\x02x", 10}, &end)); /* a text cut short */
    /* kind 3 is none */
    assert_false(
        smtp_wire_read_result((struct span){"\0\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0", 19}, &result));
    assert_true(
        smtp_wire_read_result((struct span){"\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0", 19}, &result));
}

static void test_what_is_too_long_fails(void **state)
{
    struct smtp_wire_message message = {.bytes = {"", (size_t)SMTP_WIRE_FRAME_MAX + 1}};
    struct strbuf buf;

    (void)state;
    strbuf_init(&buf, 1 << 20);
    smtp_wire_put_message(&buf, &message);
    assert_true(strbuf_is_failed(&buf));
    strbuf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_broken_frames),
        cmocka_unit_test(test_broken_payloads),
        cmocka_unit_test(test_what_is_too_long_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
