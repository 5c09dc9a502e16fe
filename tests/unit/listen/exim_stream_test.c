/* SPDX-License-Identifier: MIT */
/* Lines over stream sockets: whole, in pieces, too long; too many connections, and idle ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen/exim_stream.h"

#define LINES_MAX 1200

static struct {
    struct exim_stream *stream;
    int listen_fd;
    struct sockaddr_un address;
    size_t count;
    char lines[LINES_MAX][32]; /* their first bytes */
    size_t lens[LINES_MAX];
    bool is_cut[LINES_MAX];
    uid_t uid;
} world;

static void on_line(void *context, const char *bytes, size_t len, bool is_cut, uid_t uid)
{
    (void)context;
    assert_true(world.count < LINES_MAX);
    (void)snprintf(world.lines[world.count], sizeof world.lines[0], "%.*s", (int)(len < 31 ? len : 31),
                   bytes);
    world.lens[world.count] = len;
    world.is_cut[world.count++] = is_cut;
    world.uid = uid;
}

/* An abstract address, so that no file is left behind. */
static int setup(void **state)
{
    struct err err;

    (void)state;
    memset(&world, 0, sizeof world);
    world.address.sun_family = AF_UNIX;
    (void)snprintf(world.address.sun_path + 1, sizeof world.address.sun_path - 1, "exim_stream_test.%d",
                   (int)getpid());
    world.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(world.listen_fd, (const struct sockaddr *)&world.address, sizeof world.address) != 0 ||
        listen(world.listen_fd, 4096) != 0)
        return -1;
    return exim_stream_new(&world.listen_fd, 1, &world.stream, &err) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    exim_stream_free(&world.stream);
    (void)close(world.listen_fd);
    return 0;
}

static int dial(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&world.address, sizeof world.address), 0);
    return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, 0), len);
}

static void serve(int64_t now_ms)
{
    exim_stream_serve(world.stream, now_ms, on_line, NULL);
}

/* Was it closed on the other side? */
static bool is_closed(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void test_a_line_is_taken_and_the_connection_closed_in_one_call(void **state)
{
    int fd = dial();

    (void)state;
    say(fd, "{\"v\":\"exim1\"}\n", 14);
    (void)shutdown(fd, SHUT_WR);
    serve(1000);
    assert_int_equal(world.count, 1);
    assert_string_equal(world.lines[0], "{\"v\":\"exim1\"}");
    assert_int_equal(world.uid, getuid());
    assert_true(is_closed(fd));
    assert_int_equal(exim_stream_timeout_ms(world.stream, 1000), -1);
    (void)close(fd);
}

static void test_pieces_empty_lines_and_a_last_line_without_newline(void **state)
{
    int fd = dial();

    (void)state;
    say(fd, "one\n\ntw", 7);
    serve(1000);
    assert_int_equal(world.count, 1);
    assert_false(is_closed(fd));
    say(fd, "o\nthree", 7);
    serve(1001);
    assert_int_equal(world.count, 2);
    (void)close(fd);
    serve(1002);
    assert_int_equal(world.count, 3);
    assert_string_equal(world.lines[1], "two");
    assert_string_equal(world.lines[2], "three");
}

static void test_a_line_of_the_limit_and_one_byte_more(void **state)
{
    char *bytes = malloc(EXIM_STREAM_LINE_MAX + 2);
    size_t sent = 0, total = EXIM_STREAM_LINE_MAX + 1;

    (void)state;
    for (size_t extra = 0; extra < 2; extra++, total++) {
        int fd = dial();

        memset(bytes, 'x', total - 1);
        bytes[total - 1] = '\n';
        for (sent = 0; sent < total; serve(1000)) {
            ssize_t got = send(fd, bytes + sent, total - sent, MSG_DONTWAIT);

            if (got > 0)
                sent += (size_t)got;
        }
        say(fd, "next\n", 5);
        (void)close(fd);
        serve(1000);
    }
    assert_int_equal(world.count, 4);
    assert_int_equal(world.lens[0], EXIM_STREAM_LINE_MAX);
    assert_false(world.is_cut[0]);
    assert_string_equal(world.lines[1], "next");
    assert_true(world.is_cut[2]);
    assert_string_equal(world.lines[3], "next");
    free(bytes);
}

static void test_a_line_over_many_limits_is_counted_once(void **state)
{
    const size_t total = 4 * (size_t)EXIM_STREAM_LINE_MAX;
    char *bytes = malloc(total);
    int fd = dial();

    (void)state;
    memset(bytes, 'x', total);
    bytes[total - 1] = '\n';
    for (size_t sent = 0; sent < total; serve(1000)) {
        ssize_t got = send(fd, bytes + sent, total - sent, MSG_DONTWAIT);

        if (got > 0)
            sent += (size_t)got;
    }
    say(fd, "next\n", 5);
    (void)close(fd);
    serve(1000);
    assert_int_equal(world.count, 2);
    assert_true(world.is_cut[0]);
    assert_string_equal(world.lines[1], "next");
    free(bytes);
}

static void test_idle_connections_are_closed(void **state)
{
    int quiet = dial(), busy = dial();

    (void)state;
    say(quiet, "half", 4);
    serve(1000);
    assert_int_equal(exim_stream_timeout_ms(world.stream, 1000), EXIM_STREAM_IDLE_MS);
    say(busy, "a\n", 2);
    serve(4000);
    serve(1000 + EXIM_STREAM_IDLE_MS);
    assert_true(is_closed(quiet));
    assert_false(is_closed(busy));
    assert_int_equal(exim_stream_timeout_ms(world.stream, 1000 + EXIM_STREAM_IDLE_MS), 3000);
    assert_int_equal(world.count, 1);
    (void)close(quiet);
    (void)close(busy);
}

/* 600 clients that connect and write at once lose nothing, though only 256 fit. */
static void test_a_crowd_loses_nothing(void **state)
{
    enum {
        CROWD = 600
    };
    static int fds[CROWD];

    (void)state;
    for (int i = 0; i < CROWD; i++) {
        char line[32];
        int len = snprintf(line, sizeof line, "line %d\n", i);

        fds[i] = dial();
        say(fds[i], line, (size_t)len);
        (void)shutdown(fds[i], SHUT_WR);
    }
    for (int i = 0; i < 4; i++)
        serve(1000);
    assert_int_equal(world.count, CROWD);
    for (int i = 0; i < CROWD; i++) {
        assert_true(is_closed(fds[i]));
        (void)close(fds[i]);
    }
}

/* Clients that only sit there: for a moment nobody gets in and nobody is woken, then the longest idle makes
 * room. */
static void test_sitters_make_room(void **state)
{
    static int sitters[EXIM_STREAM_CONNECTIONS_MAX];
    struct pollfd wait = {.fd = exim_stream_fd(world.stream), .events = POLLIN};
    int fd;

    (void)state;
    for (size_t i = 0; i < EXIM_STREAM_CONNECTIONS_MAX; i++)
        sitters[i] = dial();
    serve(1000);
    fd = dial();
    say(fd, "urgent\n", 7);
    (void)shutdown(fd, SHUT_WR);
    serve(1001);
    assert_int_equal(world.count, 0);
    assert_int_equal(poll(&wait, 1, 0), 0);
    assert_in_range(exim_stream_timeout_ms(world.stream, 1001), 1, 1000);
    serve(1001 + exim_stream_timeout_ms(world.stream, 1001));
    assert_int_equal(world.count, 1);
    assert_true(is_closed(sitters[0]));
    (void)close(sitters[0]);
    for (size_t i = 1; i < EXIM_STREAM_CONNECTIONS_MAX; i++) {
        assert_false(is_closed(sitters[i]));
        (void)close(sitters[i]);
    }
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_line_is_taken_and_the_connection_closed_in_one_call, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_pieces_empty_lines_and_a_last_line_without_newline, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_line_of_the_limit_and_one_byte_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_over_many_limits_is_counted_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_connections_are_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_crowd_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sitters_make_room, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
