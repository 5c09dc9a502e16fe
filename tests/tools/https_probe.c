/* SPDX-License-Identifier: MIT */
/*
 * https_probe - post made-up reports through deliver/https.h and print each result: for fault tests and
 * figures.
 *
 * https_probe KEY=VALUE ... URL ...
 *   host= port= address= bytes=   of the URLs after them; address may be several, comma-separated; bytes of a body
 *   allow=ITEM[,ITEM...]          the address policy's exceptions
 *   verify=fallback|strict|off ca_file= redirects=N locate=ADDRESS
 *   posts=N                       that many to the URLs in turn
 *   parallel=N at_once=N          in all, and to one URL
 *   connect_ms=N total_ms=N quiet=1
 *
 * One line per result: "ID KIND STAGE CODE DOUBT RETRY_AFTER TEXT"; the last line is "settled N".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/names.h"
#include "base/attr.h"
#include "base/clock.h"
#include "deliver/https.h"

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
    unsigned posting; /* under way */
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
    size_t at_once;
    size_t next[URLS_MAX];      /* posts started at each place */
    size_t under_way[URLS_MAX]; /* at each place */
    size_t settled;
    bool is_quiet;
};

/* Post i goes to place i * places / posts: so the posts of one place are consecutive. */
static size_t place_of(const struct probe *probe, size_t index)
{
    return index * probe->place_count / probe->posts;
}

static size_t first_of(const struct probe *probe, size_t place)
{
    return (place * probe->posts + probe->place_count - 1) / probe->place_count;
}

/* The next post of the first place that may have one more; false if there is none. */
static bool find_next(struct probe *probe, size_t *index_out)
{
    for (size_t place = 0; place < probe->place_count; place++) {
        size_t index = first_of(probe, place) + probe->next[place];

        if (index >= first_of(probe, place + 1) ||
            (probe->at_once > 0 && probe->under_way[place] >= probe->at_once))
            continue;
        probe->next[place]++;
        probe->under_way[place]++;
        *index_out = index;
        return true;
    }
    return false;
}

static void start_all(struct probe *probe, struct https_pool *pool)
{
    size_t index;

    while (probe->posting < probe->settings.parallel && find_next(probe, &index)) {
        const struct place *place = &probe->places[place_of(probe, index)];
        const struct https_post post = {.id = (int64_t)index,
                                        .url = place->url,
                                        .host = place->host,
                                        .port = place->port,
                                        .addresses = place->addresses,
                                        .address_count = place->address_count,
                                        .body = probe->body,
                                        .len = place->bytes,
                                        .deadline_ms =
                                            clock_monotonic_ms() + probe->settings.total_timeout_ms};

        probe->posting++;
        https_start(pool, &post);
    }
}

static void take_results(struct probe *probe, struct https_pool *pool)
{
    struct delivery_result result;
    const char *host;
    int64_t id;

    while (https_wants_addresses(pool, &id, &host))
        https_locate(pool, id, &probe->located, probe->has_located ? 1 : 0, NULL);
    while (https_take(pool, &id, &result)) {
        probe->settled++;
        probe->posting--;
        probe->under_way[place_of(probe, (size_t)id)]--;
        if (!probe->is_quiet || result.kind != DELIVERY_RESULT_DELIVERED)
            printf("%lld %s %s %d %s %lld %s\n", (long long)id, delivery_result_kind_name(result.kind),
                   delivery_stage_name(result.stage), result.code, result.is_in_doubt ? "in-doubt" : "-",
                   (long long)result.retry_after_s, result.text);
    }
}

static enum status post_all(struct probe *probe, struct err *err)
{
    struct https_pool *pool = NULL;
    enum status status = https_open(&probe->settings, &pool, err);

    while (status == ST_OK && probe->settled < probe->posts) {
        start_all(probe, pool);
        status = https_poll(pool, NULL, 0, 1000, err);
        take_results(probe, pool);
    }
    https_close(&pool);
    return status;
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
        probe->at_once = (size_t)atoll(value);
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
    if (post_all(&probe, &err) != ST_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    free(probe.body);
    printf("settled %zu\n", probe.settled);
    return 0;
}
