/* SPDX-License-Identifier: MIT */
/*
 * smtp_probe - deliver made-up mails through deliver/smtp.h and print each result: for fault tests and
 * figures.
 *
 * smtp_probe KEY=VALUE ...
 *   host port address ehlo tls=opportunistic|require|off ca_file user password    the target
 *   port2                  a second target of the batch, on the same host
 *   then_port then_mails   afterwards, so many mails in a batch of their own to that port
 *   mails=N recipient=ADDR[,ADDR...]  recipient of mail i is the (i mod count)-th
 *   bytes=N                size of each mail's body
 *   batch=N connections=N connect_ms=N step_ms=N session_ms=N batch_ms=N
 *
 * One line per result: "ID KIND STAGE CODE DOUBT TEXT"; the last line is "settled N".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/names.h"
#include "base/attr.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "deliver/smtp.h"

#define MAILS_MAX      200000
#define RECIPIENTS_MAX 32

struct probe {
    unsigned sessions; /* under way */
    struct smtp_target targets[2];
    struct smtp_target then;
    size_t then_mails;
    size_t target_count;
    struct smtp_limits limits;
    size_t mail_count;
    size_t batch_size;
    int64_t batch_ms;
    char *recipients[RECIPIENTS_MAX];
    size_t recipient_count;
    size_t body_bytes;
    size_t next;    /* first mail that no batch has taken */
    size_t settled; /* results taken */
    bool is_quiet;
};

struct batch {
    struct smtp_mail mails[SMTP_BATCH_MAX];
    struct strbuf bytes[SMTP_BATCH_MAX];
    size_t count;
};

static void add_mail(const struct probe *probe, struct smtp_mail *mail, struct strbuf *bytes, size_t index)
{
    const char *recipient = probe->recipients[index % probe->recipient_count];

    strbuf_init(bytes, 64u << 20);
    strbuf_addf(bytes,
                "From: <probe@sender.example>\r\nTo: <%s>\r\nDate: Sat, 14 Mar 2026 00:00:00 +0000\r\n"
                "Message-ID: <%zu@sender.example>\r\nSubject: probe\r\n\r\n.a line with a dot\r\n",
                recipient, index);
    while (bytes->len < probe->body_bytes && index < probe->mail_count)
        strbuf_add_text(bytes,
                        "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n");
    *mail = (struct smtp_mail){.id = (int64_t)index,
                               .envelope_from = "bounce@sender.example",
                               .recipient = recipient,
                               .bytes = bytes->data,
                               .len = bytes->len};
}

/* Start a batch with the next mails; false if there are none. */
static bool start_batch(struct probe *probe, struct smtp_pool *pool)
{
    struct batch *batch = calloc(1, sizeof *batch);
    size_t count = 0;
    const bool is_then = probe->next >= probe->mail_count;
    const size_t end = is_then ? probe->mail_count + probe->then_mails : probe->mail_count;

    if (batch == NULL)
        abort();
    for (; count < probe->batch_size && probe->next < end; count++)
        add_mail(probe, &batch->mails[count], &batch->bytes[count], probe->next++);
    if (count == 0) {
        free(batch);
        return false;
    }
    batch->count = count;
    probe->sessions++;
    smtp_start(pool, &(struct smtp_batch){.targets = is_then ? &probe->then : probe->targets,
                                          .target_count = is_then ? 1 : probe->target_count,
                                          .mails = batch->mails,
                                          .count = count,
                                          .deadline_ms = clock_monotonic_ms() + probe->batch_ms,
                                          .owner = batch});
    return true;
}

static void free_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        strbuf_done(&batch->bytes[i]);
    free(batch);
}

static void take_results(struct probe *probe, struct smtp_pool *pool)
{
    struct delivery_result result;
    struct batch *batch;
    int64_t id;

    while (smtp_take(pool, &id, &result)) {
        probe->settled++;
        if (!probe->is_quiet || result.kind != DELIVERY_RESULT_DELIVERED)
            printf("%lld %s %s %d %s %s\n", (long long)id, delivery_result_kind_name(result.kind),
                   delivery_stage_name(result.stage), result.code, result.is_in_doubt ? "in-doubt" : "-",
                   result.text);
    }
    while ((batch = smtp_finish(pool)) != NULL) {
        free_batch(batch);
        probe->sessions--;
    }
}

static enum status mail_all(struct probe *probe, const char *worker, struct err *err)
{
    struct smtp_pool *pool = NULL;
    enum status status = smtp_open(worker, &probe->limits, &pool, err);

    while (status == ST_OK) {
        struct pollfd fds[SMTP_CONNECTIONS_MAX];
        size_t count;
        int wait_ms;

        while (probe->sessions < probe->limits.connections && start_batch(probe, pool)) {
        }
        take_results(probe, pool);
        count = smtp_prepare(pool, fds, &wait_ms);
        if (count == 0 && probe->next == probe->mail_count + probe->then_mails)
            break;
        if (poll(fds, (nfds_t)count, wait_ms) >= 0)
            smtp_step(pool, fds, count);
    }
    smtp_close(&pool);
    return status;
}

static enum smtp_tls tls_of(const char *word)
{
    if (strcmp(word, "require") == 0)
        return SMTP_TLS_REQUIRE;
    return strcmp(word, "off") == 0 ? SMTP_TLS_OFF : SMTP_TLS_OPPORTUNISTIC;
}

static void take_recipients(struct probe *probe, char *list)
{
    probe->recipient_count = 0;
    for (char *at = strtok(list, ","); at != NULL && probe->recipient_count < RECIPIENTS_MAX;
         at = strtok(NULL, ","))
        probe->recipients[probe->recipient_count++] = at;
}

static void take_number(struct probe *probe, const char *key, const char *value)
{
    const struct {
        const char *key;
        int64_t *to;
    } times[] = {{"connect_ms", &probe->limits.connect_timeout_ms},
                 {"step_ms", &probe->limits.step_timeout_ms},
                 {"session_ms", &probe->limits.session_timeout_ms},
                 {"batch_ms", &probe->batch_ms}};
    const struct {
        const char *key;
        size_t *to;
    } sizes[] = {{"mails", &probe->mail_count},
                 {"then_mails", &probe->then_mails},
                 {"batch", &probe->batch_size},
                 {"bytes", &probe->body_bytes}};

    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        if (strcmp(key, times[i].key) == 0)
            *times[i].to = atoll(value);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        if (strcmp(key, sizes[i].key) == 0)
            *sizes[i].to = (size_t)atoll(value);
    if (strcmp(key, "connections") == 0)
        probe->limits.connections = (unsigned)atoi(value);
    if (strcmp(key, "port") == 0)
        probe->targets[0].port = (uint16_t)atoi(value);
    if (strcmp(key, "quiet") == 0)
        probe->is_quiet = atoi(value) != 0;
}

static void take_argument(struct probe *probe, char *argument)
{
    struct smtp_target *target = &probe->targets[0];
    const struct {
        const char *key;
        const char **to;
    } texts[] = {{"host", &target->host},      {"address", &target->address},
                 {"ehlo", &target->ehlo_name}, {"ca_file", &target->ca_file},
                 {"user", &target->user},      {"password", &target->password}};
    char *value = strchr(argument, '=');

    if (value == NULL)
        return;
    *value++ = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (strcmp(argument, texts[i].key) == 0)
            *texts[i].to = value;
    if (strcmp(argument, "tls") == 0)
        target->tls = tls_of(value);
    else if (strcmp(argument, "recipient") == 0)
        take_recipients(probe, value);
    else if (strcmp(argument, "port2") == 0)
        probe->targets[1].port = (uint16_t)atoi(value);
    else if (strcmp(argument, "then_port") == 0)
        probe->then.port = (uint16_t)atoi(value);
    else
        take_number(probe, argument, value);
}

/* All but the port. */
static void copy_target(struct smtp_target *to, const struct smtp_target *from)
{
    uint16_t port = to->port;

    *to = *from;
    to->port = port;
}

int main(int argc, char **argv)
{
    static char recipient[] = "tls@receiver.example";
    struct probe probe = {.targets = {{.host = "127.0.0.1",
                                       .address = "",
                                       .ehlo_name = "sender.example",
                                       .ca_file = "",
                                       .user = "",
                                       .password = ""}},
                          .target_count = 1,
                          .limits = SMTP_LIMITS_DEFAULT,
                          .mail_count = 1,
                          .batch_size = SMTP_BATCH_MAX,
                          .batch_ms = 3600000,
                          .recipients = {recipient},
                          .recipient_count = 1};
    const char *worker = getenv("SMTP_WORKER");
    struct err err;

    for (int i = 1; i < argc; i++)
        take_argument(&probe, argv[i]);
    if (probe.targets[1].port != 0)
        probe.target_count = 2;
    copy_target(&probe.targets[1], &probe.targets[0]);
    copy_target(&probe.then, &probe.targets[0]);
    probe.then.tls = SMTP_TLS_OFF;
    probe.then.user = "";
    if (probe.mail_count > MAILS_MAX || probe.batch_size < 1 || probe.batch_size > SMTP_BATCH_MAX)
        return 64;
    if (mail_all(&probe, worker != NULL ? worker : "build/tlsrpt-gen-smtp", &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("settled %zu\n", probe.settled);
    return 0;
}
