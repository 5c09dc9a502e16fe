/* SPDX-License-Identifier: MIT */
/*
 * https_probe - post made-up reports through deliver/https.h and print each outcome: for fault tests and
 * figures.
 *
 * https_probe KEY=VALUE ... URL ...
 *   host= port= address= bytes=   of the URLs behind them; address may be several, comma-separated; bytes of
 * a body allow=ITEM[,ITEM...]   the guard's exceptions verify=fallback|strict|off ca_file= redirects=N
 * locate=ADDRESS posts=N                that many to the URLs in turn parallel=N connect_ms=N total_ms=N
 * quiet=1
 *
 * One line per outcome: "ID KIND STAGE CODE DOUBT RETRY_AFTER TEXT"; the last line is "settled N".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/names.h"
#include "base/attr.h"
#include "deliver/https.h"
#include "deliver/queue.h"

#define URLS_MAX  1024
#define ITEMS_MAX 16

struct place {
    const char *url;
    const char *host;
    uint16_t port;
    struct address addresses[HTTPS_ADDRESSES_MAX];
    size_t address_count;
    size_t bytes;
};

struct probe {
    struct place places[URLS_MAX];
    size_t place_count;
    struct place current; /* what the next URL gets */
    struct address_policy address_policy;
    struct https_settings settings;
    struct address located;
    bool has_located;
    size_t posts;
    size_t most_bytes;
    char *body;
    struct queue queue;
    struct queue_limits limits;
    size_t settled;
    bool is_quiet;
};

static const struct place *place_of(const struct probe *probe, size_t index)
{
    return &probe->places[index * probe->place_count / probe->posts];
}

static const char *host_of(void *context, size_t index)
{
    return place_of(context, index)->host;
}

static bool on_next(void *context, struct https_post *post_out)
{
    struct probe *probe = context;
    const struct place *place;
    size_t index;

    if (!queue_take(&probe->queue, &index))
        return false;
    place = place_of(probe, index);
    *post_out = (struct https_post){.id = (int64_t)index,
                                    .url = place->url,
                                    .host = place->host,
                                    .port = place->port,
                                    .addresses = place->addresses,
                                    .address_count = place->address_count,
                                    .body = probe->body,
                                    .len = place->bytes};
    return true;
}

static void on_result(void *context, int64_t id, const struct delivery_result *result)
{
    struct probe *probe = context;

    probe->settled++;
    queue_settle(&probe->queue, (size_t)id, result->kind);
    if (!probe->is_quiet || result->kind != DELIVERY_RESULT_DELIVERED)
        printf("%lld %s %s %d %s %lld %s\n", (long long)id, delivery_result_kind_name(result->kind),
               delivery_stage_name(result->stage), result->code, result->is_in_doubt ? "in-doubt" : "-",
               (long long)result->retry_after_s, result->text);
}

static void on_post_done(void *context, const struct https_post *post)
{
    struct probe *probe = context;

    queue_release(&probe->queue, (size_t)post->id);
}

static size_t on_locate(void *context, const char *host, struct address *addresses_out, size_t max)
{
    const struct probe *probe = context;

    (void)host;
    if (!probe->has_located || max == 0)
        return 0;
    addresses_out[0] = probe->located;
    return 1;
}

static void take_addresses(struct place *place, char *list)
{
    place->address_count = 0;
    for (char *at = strtok(list, ","); at != NULL; at = strtok(NULL, ","))
        if (place->address_count < HTTPS_ADDRESSES_MAX &&
            address_parse(at, strlen(at), &place->addresses[place->address_count]))
            place->address_count++;
}

static void take_allow(struct probe *probe, char *list)
{
    const char *items[ITEMS_MAX];
    size_t count = 0;

    for (char *at = strtok(list, ","); at != NULL && count < ITEMS_MAX; at = strtok(NULL, ","))
        items[count++] = at;
    if (address_policy_init(&probe->address_policy, ADDRESS_POLICY_HTTPS_PORT, items, count, NULL) != ST_OK)
        exit(64);
}

static enum https_verify verify_of(const char *word)
{
    if (strcmp(word, "strict") == 0)
        return HTTPS_VERIFY_STRICT;
    return strcmp(word, "off") == 0 ? HTTPS_VERIFY_OFF : HTTPS_VERIFY_FALLBACK;
}

static void take_bytes(struct probe *probe, const char *value)
{
    probe->current.bytes = (size_t)atoll(value);
    if (probe->current.bytes > probe->most_bytes)
        probe->most_bytes = probe->current.bytes;
}

static bool take_number(struct probe *probe, const char *key, const char *value)
{
    if (strcmp(key, "port") == 0)
        probe->current.port = (uint16_t)atoi(value);
    else if (strcmp(key, "redirects") == 0)
        probe->settings.redirects = (unsigned)atoi(value);
    else if (strcmp(key, "posts") == 0)
        probe->posts = (size_t)atoll(value);
    else if (strcmp(key, "bytes") == 0)
        take_bytes(probe, value);
    else if (strcmp(key, "parallel") == 0)
        probe->settings.parallel = (unsigned)atoi(value);
    else if (strcmp(key, "at_once") == 0)
        probe->limits.at_once = (size_t)atoll(value);
    else if (strcmp(key, "connect_ms") == 0)
        probe->settings.connect_timeout_ms = atoll(value);
    else if (strcmp(key, "total_ms") == 0)
        probe->settings.total_timeout_ms = atoll(value);
    else if (strcmp(key, "quiet") == 0)
        probe->is_quiet = atoi(value) != 0;
    else
        return false;
    return true;
}

static bool take_text(struct probe *probe, const char *key, char *value)
{
    if (strcmp(key, "host") == 0)
        probe->current.host = value;
    else if (strcmp(key, "address") == 0)
        take_addresses(&probe->current, value);
    else if (strcmp(key, "allow") == 0)
        take_allow(probe, value);
    else if (strcmp(key, "verify") == 0)
        probe->settings.verify = verify_of(value);
    else if (strcmp(key, "ca_file") == 0)
        probe->settings.ca_file = value;
    else if (strcmp(key, "locate") == 0)
        probe->has_located = address_parse(value, strlen(value), &probe->located);
    else
        return false;
    return true;
}

static void take_argument(struct probe *probe, char *argument)
{
    char *value = strchr(argument, '=');

    if (strncmp(argument, "https:", 6) == 0 || value == NULL) {
        if (probe->place_count < URLS_MAX) {
            probe->places[probe->place_count] = probe->current;
            probe->places[probe->place_count++].url = argument;
        }
        return;
    }
    *value++ = '\0';
    if (!take_number(probe, argument, value) && !take_text(probe, argument, value))
        exit(64);
}

int main(int argc, char **argv)
{
    static struct probe probe = {
        .current = {.host = "localhost", .port = 443, .bytes = 400},
        .settings = {.ca_file = "",
                     .user_agent = "tlsrpt-gen/probe",
                     .parallel = HTTPS_PARALLEL_DEFAULT,
                     .connect_timeout_ms = HTTPS_CONNECT_TIMEOUT_MS,
                     .total_timeout_ms = HTTPS_TOTAL_TIMEOUT_MS},
        .most_bytes = 400,
    };
    const struct https_hooks hooks = {.context = &probe,
                                      .next = on_next,
                                      .result = on_result,
                                      .post_done = on_post_done,
                                      .locate = on_locate};
    struct err err;

    (void)signal(SIGPIPE, SIG_IGN);
    if (address_policy_init(&probe.address_policy, ADDRESS_POLICY_HTTPS_PORT, NULL, 0, NULL) != ST_OK)
        return 70;
    probe.settings.address_policy = &probe.address_policy;
    for (int i = 1; i < argc; i++)
        take_argument(&probe, argv[i]);
    if (probe.posts == 0)
        probe.posts = probe.place_count;
    probe.body = malloc(probe.most_bytes + 1);
    if (probe.body == NULL || probe.place_count == 0)
        return 64;
    memset(probe.body, 'x', probe.most_bytes);
    if (queue_open(&probe.queue, &probe.limits, probe.posts, host_of, &probe, &err) != ST_OK)
        return 1;
    if (https_deliver(&probe.settings, &hooks, &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    queue_close(&probe.queue);
    free(probe.body);
    printf("settled %zu\n", probe.settled);
    return 0;
}
