/* SPDX-License-Identifier: MIT */
/*
 * One SMTP session with the relay: greeting, EHLO, MAIL FROM, QUIT.  No mail is sent.  Each step has a time limit.
 */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "checkup.h"
#include "deliver/smtp_wire.h"
#include "model/domain.h"

#define STEP_MS       10000
#define REPLY_MAX     16384
#define LINES_MAX     100
#define WORDS_SHOWN   150
#define MESSAGE_EXTRA 65536 /* headers and text of a mail, besides the report */

/* One conversation. */
struct probe {
    int fd;
    struct strbuf reply; /* the last one, all lines */
    int code;            /* its code; 0: none came */
    const char *trouble; /* why none came */
};

/* ---- the connection ---- */

static bool wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};

    return poll(&one, 1, STEP_MS) == 1;
}

/* A connection to one of the addresses, or -1 with errno. */
static int connect_to(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(int);
    int error = 0;

    if (fd < 0)
        return -1;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS && wait_for(fd, POLLOUT) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
        return fd;
    if (error == 0 && errno == EINPROGRESS)
        error = ETIMEDOUT;
    (void)close(fd);
    errno = error != 0 ? error : errno;
    return -1;
}

static int open_connection(const char *host, const char *port, const char **trouble_out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    struct addrinfo *list = NULL;
    int fd = -1, error = getaddrinfo(host, port, &hints, &list);

    if (error != 0) {
        *trouble_out = gai_strerror(error);
        return -1;
    }
    for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next)
        fd = connect_to(at);
    if (fd < 0)
        *trouble_out = strerror(errno);
    freeaddrinfo(list);
    return fd;
}

/* ---- replies ---- */

/* True if the text ends with a reply's last line, "250 ...\n". */
static bool is_complete(const struct strbuf *reply)
{
    const char *end = reply->data + reply->len, *line;

    if (reply->len < 5 || end[-1] != '\n')
        return false;
    line = memrchr(reply->data, '\n', reply->len - 1);
    line = line != NULL ? line + 1 : reply->data;
    return end - line >= 4 && line[3] != '-';
}

/* Read one whole reply; probe->code is 0 if none came. */
static void read_reply(struct probe *probe)
{
    int64_t until_ms = clock_monotonic_ms() + STEP_MS;
    char chunk[1024];

    strbuf_reset(&probe->reply);
    probe->code = 0;
    while (!is_complete(&probe->reply)) {
        ssize_t len;

        if (clock_monotonic_ms() > until_ms || !wait_for(probe->fd, POLLIN)) {
            probe->trouble = "no answer within 10 seconds";
            return;
        }
        len = recv(probe->fd, chunk, sizeof chunk, 0);
        if (len <= 0) {
            probe->trouble = len == 0 ? "it closed the connection" : strerror(errno);
            return;
        }
        strbuf_add(&probe->reply, chunk, (size_t)len);
        if (strbuf_is_failed(&probe->reply)) {
            probe->trouble = "its answer has no end";
            return;
        }
    }
    probe->code = (int)strtol(probe->reply.data, NULL, 10);
}

static void say_line(struct probe *probe, const char *command, const char *argument)
{
    struct strbuf line;

    strbuf_init(&line, 1024);
    strbuf_addf(&line, "%s%s\r\n", command, argument);
    if (strbuf_is_failed(&line) || file_write_all(probe->fd, line.data, line.len) != 0) {
        probe->code = 0;
        probe->trouble = "writing to it failed";
    } else {
        read_reply(probe);
    }
    strbuf_done(&line);
}

/* The words behind an EHLO keyword, or NULL if it is not offered. */
static const char *find_offer(const struct probe *probe, const char *keyword)
{
    size_t len = strlen(keyword);
    const char *at = strchr(probe->reply.data, '\n'); /* behind the greeting */

    for (int lines = 0; at != NULL && lines < LINES_MAX; lines++, at = strchr(at, '\n')) {
        at++;
        if (strlen(at) > 4 + len && strncasecmp(at + 4, keyword, len) == 0 &&
            (at[4 + len] == ' ' || at[4 + len] == '\r' || at[4 + len] == '\n'))
            return at + 4 + len;
    }
    return NULL;
}

/* The reply's first line for people, or why there is none. */
static const char *reply_words(struct checkup *checkup, const struct probe *probe)
{
    if (probe->code == 0)
        return probe->trouble != NULL ? probe->trouble : "no answer";
    return checkup_format(checkup, "%.*s",
                          (int)(strcspn(probe->reply.data, "\r\n") < WORDS_SHOWN
                                    ? strcspn(probe->reply.data, "\r\n")
                                    : WORDS_SHOWN),
                          probe->reply.data);
}

/* ---- what is needed ---- */

static void check_offers(struct checkup *checkup, const struct probe *probe)
{
    const struct config *config = checkup->config;
    const char *size = find_offer(probe, "SIZE");
    long long max_bytes = size != NULL ? strtoll(size, NULL, 10) : 0;
    long long needed = config->max_report_size + config->max_report_size / 2 + MESSAGE_EXTRA;

    if (config->relay_tls == SMTP_TLS_REQUIRE && find_offer(probe, "STARTTLS") == NULL)
        checkup_say(checkup, VERDICT_FAIL, "relay",
                    "set relay_tls = opportunistic, or let the relay offer STARTTLS",
                    "%s does not offer STARTTLS, which relay_tls = require wants", config->relay);
    else
        checkup_say(checkup, VERDICT_OK, "relay", NULL, "%s greets%s", config->relay,
                    find_offer(probe, "STARTTLS") != NULL ? " and offers STARTTLS"
                                                          : "; no STARTTLS, none is needed");
    if (max_bytes > 0 && max_bytes < needed)
        checkup_say(checkup, VERDICT_WARN, "relay",
                    checkup_format(checkup, "set max_report_size = %lldK",
                                   (max_bytes - MESSAGE_EXTRA) / 3 * 2 / 1024),
                    "%s takes mails of up to %lld bytes, a large report may have %lld", config->relay,
                    max_bytes, needed);
}

/* A password needs TLS, which this session has not; so the sender is only tried without relay_auth. */
static void check_sender(struct checkup *checkup, struct probe *probe)
{
    const struct config *config = checkup->config;

    if (*config->relay_auth != '\0' || *config->envelope_from == '\0')
        return;
    say_line(probe, "MAIL FROM:<", checkup_format(checkup, "%s>", config->envelope_from));
    if (probe->code / 100 == 2)
        checkup_say(checkup, VERDICT_OK, "relay", NULL, "%s takes mail from %s", config->relay,
                    config->envelope_from);
    else
        checkup_say(checkup, probe->code / 100 == 5 ? VERDICT_FAIL : VERDICT_WARN, "relay",
                    "let the relay accept that sender from this host, or set envelope_from = an address that "
                    "it accepts",
                    "%s refuses mail from %s: %s", config->relay, config->envelope_from,
                    reply_words(checkup, probe));
}

static void run_probe(struct checkup *checkup, struct probe *probe)
{
    const struct config *config = checkup->config;
    char name[HOST_NAME_MAX + 1] = "localhost";

    if (*config->ehlo_name == '\0')
        (void)gethostname(name, sizeof name - 1);
    read_reply(probe);
    if (probe->code == 220)
        say_line(probe, "EHLO ", *config->ehlo_name != '\0' ? config->ehlo_name : name);
    if (probe->code != 250) {
        checkup_say(checkup, VERDICT_FAIL, "relay",
                    "let a mail server answer there, or set relay = HOST:PORT of one that does",
                    "%s does not greet as a mail server does: %s", config->relay,
                    reply_words(checkup, probe));
        return;
    }
    check_offers(checkup, probe);
    check_sender(checkup, probe);
    say_line(probe, "QUIT", "");
}

void check_relay(struct checkup *checkup)
{
    const struct config *config = checkup->config;
    struct probe probe = {.fd = -1};
    char host[DOMAIN_NAME_MAX + 1], port[8];
    struct cursor cursor;
    struct span name;

    if (config->smtp_mode == CONFIG_SMTP_DIRECT) {
        checkup_say(checkup, VERDICT_OK, "relay", NULL, "none: mail goes to each domain's mail hosts");
        return;
    }
    cursor_init(&cursor, config->relay, strlen(config->relay));
    name = cursor_take_until(&cursor, ":");
    (void)snprintf(host, sizeof host, "%.*s", (int)name.len, name.at);
    (void)snprintf(port, sizeof port, "%.6s", cursor_skip_word(&cursor, ":") ? cursor.at : "25");
    strbuf_init(&probe.reply, REPLY_MAX);
    probe.fd = open_connection(host, port, &probe.trouble);
    if (probe.fd < 0) {
        checkup_say(checkup, VERDICT_FAIL, "relay",
                    "start the mail server there, or set relay = HOST:PORT of one that runs",
                    "%s cannot be reached: %s", config->relay, probe.trouble);
    } else {
        run_probe(checkup, &probe);
        (void)close(probe.fd);
    }
    strbuf_done(&probe.reply);
}
