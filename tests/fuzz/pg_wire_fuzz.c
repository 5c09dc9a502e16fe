/* SPDX-License-Identifier: MIT */
/*
 * A server of PostgreSQL's protocol that says what it likes.  It lets everybody in; then, whenever it is
 * spoken to, it says the input up to the next "Z": messages, each a letter, a length of two bytes and that
 * many bytes of body ("T", "D" and so on of the protocol), but for q  a whole good answer to one statement
 * that was prepared before: '1'-sync, then rows of one text each r  a row of N texts, NULs between, whatever
 * columns were announced x  the rest of the input is sent as it is, and then nothing more Nobody may crash,
 * wait or believe that there were rows which were not; what a row holds can be read, also columns that are
 * not there.  Without libpq there is nothing to try.
 */
#include <stdint.h>

#include "store/pg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#if defined(__has_include) && __has_include(<libpq-fe.h>)
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/strbuf.h"

#define SAID_MAX    (1 << 20)
#define COLUMNS     16
#define SERVERS_MAX 64

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

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

void clock_set_fixed(int64_t utc_ns)
{
    (void)utc_ns;
}

/* ---- the server ---- */

static const char *const STATEMENTS[] = {"SELECT a FROM x WHERE y = $1", "UPDATE x SET y = $1"};
static int servers[SERVERS_MAX];
static int server_count;
static bool is_welcome;
static struct strbuf said;
static size_t ends[SAID_MAX / 5]; /* where it lets the client speak: behind each 'Z' */
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

static void say_ready(struct strbuf *out)
{
    say(out, 'Z', "I", 1);
    if (out == &said && end_count < ARRAY_COUNT(ends))
        ends[end_count++] = out->len;
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

static void say_answer(struct strbuf *out, const char *text, size_t len)
{
    uint16_t count = len > 0;

    for (size_t i = 0; i + 1 < len && count < COLUMNS; i++)
        count = (uint16_t)(count + (text[i] == '\0'));
    say(out, '1', NULL, 0);
    say_ready(out);
    say(out, '2', NULL, 0);
    say_columns(out, count);
    say_row(out, text, len);
    say(out, 'C', "SELECT 1", 9);
    say_ready(out);
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

static void say_all(struct strbuf *out, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;

    while (end - data >= 3) {
        char type = (char)data[0];
        size_t len = (size_t)data[1] << 8 | data[2];
        const char *body = (const char *)data + 3;

        if (len > (size_t)(end - data - 3) || type == 'x')
            len = (size_t)(end - data - 3);
        if (type == 'q')
            say_answer(out, body, len);
        else if (type == 'r')
            say_row(out, body, len);
        else if (type == 'x')
            strbuf_add(out, body, len);
        else if (type == 'Z')
            say_ready(out);
        else
            say(out, type, body, len);
        data += 3 + len;
    }
    if (end_count < ARRAY_COUNT(ends))
        ends[end_count++] = out->len;
}

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

    (void)fd;
    (void)bytes;
    (void)flags;
    if (!is_welcome) {
        struct strbuf welcome;

        strbuf_init(&welcome, SAID_MAX);
        say_welcome(&welcome);
        (void)!write(server, welcome.data, welcome.len);
        strbuf_done(&welcome);
        is_welcome = true;
    } else if (next_end < end_count) {
        (void)!write(server, said.data + said_until, ends[next_end] - said_until);
        said_until = ends[next_end++];
    }
    if (next_end == end_count)
        (void)shutdown(server, SHUT_WR);
    return (ssize_t)len;
}

/* Nothing comes by waiting. */
__attribute__((visibility("default"))) int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    int ready = (int)syscall(SYS_poll, fds, count, 0);

    if (ready == 0)
        now_ms += timeout > 0 ? 100000 : 0;
    return ready;
}

static void close_servers(void)
{
    while (server_count > 0)
        (void)close(servers[--server_count]);
}

/* ---- what the programs do with it ---- */

static enum status see_row(void *context, const struct pg_row *row, struct err *err)
{
    struct arena *arena = context;
    size_t len = 0;
    volatile size_t sum = 0; /* so that all is really read */

    (void)err;
    for (int i = 0; i < 4; i++) {
        const char *text = pg_text(row, i);

        require(text != NULL && (!pg_is_null(row, i) || *text == '\0'));
        sum += strlen(text) + (size_t)pg_int(row, i);
    }
    if (pg_bytes(row, 0, arena, &len) == NULL)
        len = 0;
    sum += len;
    return ST_OK;
}

static enum status change(struct pg *pg, struct err *err)
{
    struct pg_batch *batch = NULL;
    struct pg_params params = {.count = 0};
    enum status status = pg_batch_new(&batch, err);

    pg_add_int(&params, 7);
    pg_add_bytes(&params, "\0x", 2);
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(STATEMENTS); i++)
        status = pg_batch_add(batch, i, &params, (int64_t)i, err);
    if (status == ST_OK)
        status = pg_batch_run(pg, batch, err);
    pg_batch_free(&batch);
    return status;
}

static void talk(struct pg *pg)
{
    struct pg_params params = {.count = 0};
    struct err err = {0};
    struct arena arena;
    int64_t rows = 0;
    enum status status;

    arena_init(&arena, SAID_MAX);
    pg_add_text(&params, "a.example");
    for (int i = 0; i < 3; i++) {
        status = pg_query(pg, (size_t)i % 2, &params, see_row, &arena, &rows, &err);
        require(status == ST_OK ? rows >= 0 : err.text[0] != '\0');
    }
    status = pg_query(pg, 1, &params, NULL, NULL, &rows, &err);
    require(status == ST_OK || err.text[0] != '\0');
    status = change(pg, &err);
    require(status == ST_OK || err.text[0] != '\0');
    status = pg_run(pg, "CREATE TABLE x (y INTEGER)", &err);
    require(status == ST_OK || err.text[0] != '\0');
    require(pg_server_setting(pg, "server_encoding") != NULL);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pg_settings settings = {
        .conninfo = "host=/nonexistent dbname=x user=y sslmode=disable gssencmode=disable",
        .password_file = "",
        .statements = STATEMENTS,
        .statement_count = ARRAY_COUNT(STATEMENTS)};
    struct pg *pg = NULL;
    struct err err = {0};

    strbuf_init(&said, SAID_MAX);
    end_count = next_end = said_until = 0;
    say_all(&said, data, size);
    if (pg_open(&settings, &pg, &err) == ST_OK)
        talk(pg);
    else
        require(err.text[0] != '\0');
    pg_close(&pg);
    close_servers();
    strbuf_done(&said);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    return 0;
}
#endif
