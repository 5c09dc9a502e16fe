/* SPDX-License-Identifier: MIT */
/*
 * pg_server.h - a server of PostgreSQL's protocol inside the process, for pg.c and the libpq behind it: no
 * socket is opened, and no time passes by waiting.  It lets everybody in; then, whenever it is spoken to, it
 * goes on with what it was told to say (pg_server_say_*) up to the next "Z", also on a new connection.  At
 * the end it hangs up.
 */
#ifndef TESTS_FUZZ_PG_SERVER_H
#define TESTS_FUZZ_PG_SERVER_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/strbuf.h"

#define SAID_MAX    (1 << 20)
#define COLUMNS     16
#define SERVERS_MAX 8

/* ---- time: nobody waits here ---- */

static int64_t now_ms;

int64_t clock_utc_ns(void)
{
    return 1773500000000000000;
}

int64_t clock_utc_s(void)
{
    return 1773500000;
}

int64_t clock_monotonic_ms(void)
{
    return now_ms += 10;
}

void clock_sleep_ms(int64_t ms)
{
    now_ms += ms + 10000;
}

void clock_sleep_us(int64_t us)
{
    clock_sleep_ms(us / 1000);
}

/* ---- the server ---- */

static int servers[SERVERS_MAX];
static int server_count;
static bool is_welcome;
static struct strbuf said;
static size_t ends[SAID_MAX / 5]; /* where it lets the client speak: behind each 'Z' */
static bool hangs[SAID_MAX / 5];  /* and where it hangs up there */
static size_t end_count, next_end, said_until;

static void say_length(struct strbuf *out, size_t len)
{
    const unsigned char bytes[] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16),
                                   (unsigned char)(len >> 8), (unsigned char)len};

    strbuf_add(out, bytes, sizeof bytes);
}

static void say(struct strbuf *out, char type, const void *body, size_t len)
{
    strbuf_add_char(out, type);
    say_length(out, len + 4);
    strbuf_add(out, body, len);
}

/* Up to here, then the client speaks, or is alone. */
static void end_saying(bool is_over)
{
    if (end_count == ARRAY_COUNT(ends))
        return;
    hangs[end_count] = is_over;
    ends[end_count++] = said.len;
}

static void say_ready(struct strbuf *out)
{
    say(out, 'Z', "I", 1);
    if (out == &said)
        end_saying(false);
}

/* Number of columns, then each with a name, or its length and text. */
static void say_row(struct strbuf *out, const char *text, size_t len)
{
    struct strbuf row;
    uint16_t count = 0;
    const char *end = text + len;

    strbuf_init(&row, SAID_MAX);
    for (const char *at = text; at < end && count < COLUMNS; count++) {
        size_t width = strnlen(at, (size_t)(end - at));

        say_length(&row, width);
        strbuf_add(&row, at, width);
        at += width + 1;
    }
    strbuf_add_char(out, 'D');
    say_length(out, row.len + 6);
    strbuf_add_char(out, (char)(count >> 8));
    strbuf_add_char(out, (char)count);
    strbuf_add(out, row.data, row.len);
    strbuf_done(&row);
}

static void say_columns(struct strbuf *out, uint16_t count)
{
    static const char COLUMN[] = "c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0"; /* text, as text */
    struct strbuf body;

    strbuf_init(&body, SAID_MAX);
    strbuf_add_char(&body, (char)(count >> 8));
    strbuf_add_char(&body, (char)count);
    for (int i = 0; i < count; i++)
        strbuf_add(&body, COLUMN, sizeof COLUMN);
    say(out, 'T', body.data, body.len);
    strbuf_done(&body);
}

static void say_welcome(struct strbuf *out)
{
    static const char ENCODING[] = "client_encoding\0UTF8";
    static const char VERSION[] = "server_version\00015.0";

    say(out, 'R', "\0\0\0\0", 4);
    say(out, 'S', ENCODING, sizeof ENCODING);
    say(out, 'S', VERSION, sizeof VERSION);
    say_ready(out);
}

/* The C library's own names of the parameters are not ours. */
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)

/* libpq finds these before the C library's: its socket becomes one end of a pair ... */
__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int pair[2];

    (void)address;
    (void)len;
    if (server_count == SERVERS_MAX || next_end == end_count ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        errno = ECONNREFUSED;
        return -1;
    }
    (void)dup2(pair[0], fd);
    (void)close(pair[0]);
    servers[server_count++] = pair[1];
    is_welcome = false;
    return 0;
}

/* ... and whatever the client says, the server goes on to where it wants to hear something again. */
__attribute__((visibility("default"))) ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    int server = servers[server_count - 1];
    bool is_over = false;

    (void)fd;
    (void)flags;
    if (is_welcome && len > 0 && *(const char *)bytes == 'X')
        return (ssize_t)len; /* good bye */
    if (!is_welcome) {
        struct strbuf welcome;

        strbuf_init(&welcome, SAID_MAX);
        say_welcome(&welcome);
        (void)!write(server, welcome.data, welcome.len);
        strbuf_done(&welcome);
        is_welcome = true;
    } else if (next_end < end_count) {
        (void)!write(server, said.data + said_until, ends[next_end] - said_until);
        said_until = ends[next_end];
        is_over = hangs[next_end++];
    }
    if (is_over || next_end == end_count)
        (void)shutdown(server, SHUT_WR);
    return (ssize_t)len;
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)

/* Nothing comes by waiting. */
__attribute__((visibility("default"))) int wait_for_nobody(struct pollfd *fds, nfds_t count,
                                                           int timeout) __asm__("poll");

int wait_for_nobody(struct pollfd *fds, nfds_t count, int timeout)
{
    struct timespec no_time = {0};
    int ready = (int)syscall(SYS_ppoll, fds, count, &no_time, NULL, 0); /* arm64 has no SYS_poll */

    if (ready == 0)
        now_ms += timeout > 0 ? 100000 : 0;
    return ready;
}

static void close_servers(void)
{
    while (server_count > 0)
        (void)close(servers[--server_count]);
}

#endif
