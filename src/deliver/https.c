/* SPDX-License-Identifier: MIT */
/*
 * How it works.  One curl multi handle and a slot with an easy handle for each post in progress.  A slot's life:
 *
 * 1. https_start: prepare checks the post and keeps the addresses that the policy allows; without any, the result
 *    is known.
 * 2. launch pins host and port to these addresses (CURLOPT_RESOLVE) and starts the transfer.  on_open_socket
 *    checks each address again before a socket is made (R61).
 * 3. https_poll drives all transfers.  finish gets curl's result: with a bad certificate (fall_back), or after a
 *    redirect (follow, which may need addresses first), the slot is launched once more; else the result follows
 *    from the status (R58) or from curl's error.
 * 4. https_take gives the result to the caller and frees the slot.
 */
#include "deliver/https.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/strbuf.h"

#define WORDS_MAX      200 /* of an answer's body, kept in the result's text */
#define UNVERIFIED_MAX 32  /* hosts whose certificates were bad, remembered */
#define RESOLVE_MAX    (HTTPS_URL_MAX + HTTPS_ADDRESSES_MAX * (ADDRESS_TEXT_SIZE + 3))
#define CLASS_OF(code) ((code) / 100)

enum slot_state {
    SLOT_FREE,
    SLOT_BUSY,     /* curl works on it */
    SLOT_ASKING,   /* a redirect's host is to be looked up */
    SLOT_AWAITING, /* and is being looked up */
    SLOT_DONE,     /* result waits to be taken */
};

struct https_slot {
    CURL *easy;
    enum slot_state state;
    struct https_post post;
    struct delivery_result result;
    char url[HTTPS_URL_MAX + 1]; /* of the post, or of the last redirect; so are host and port */
    char host[256];
    uint16_t port;
    struct address addresses[HTTPS_ADDRESSES_MAX]; /* that the address policy allows */
    size_t address_count;
    struct curl_slist *pins; /* CURLOPT_RESOLVE */
    unsigned redirects;      /* followed so far */
    bool is_unverified;      /* sent without checking the certificate */
    bool is_refused;         /* the address policy refused at the socket */
    long redirect_code;
    size_t answer_bytes;
    char words[WORDS_MAX + 1]; /* the beginning of the answer's body */
    size_t words_len;
    char certificate_words[CURL_ERROR_SIZE]; /* what is wrong with the certificate */
    char error[CURL_ERROR_SIZE];
};

struct https_pool {
    const struct https_settings *settings;
    CURLM *multi;
    struct curl_slist *headers;
    struct https_slot *slots;
    size_t slot_count;
    size_t done_count;
    size_t asking_count;
    char unverified_hosts[UNVERIFIED_MAX]
                         [256]; /* whose certificates were bad in this run; the oldest goes first */
    size_t unverified_next;
};

/* ---- results ---- */

static void set_result(struct delivery_result *result, const struct https_slot *slot,
                       enum delivery_result_kind kind, long code, const char *words)
{
    bool is_refusal = CLASS_OF(code) == 4 || CLASS_OF(code) == 5;

    delivery_result_set(
        result, kind, DELIVERY_AT_HTTP, (int)code, "HTTP %ld%s%s%s%s%s%s", code, *words != '\0' ? ", " : "",
        words,
        slot->is_unverified && slot->certificate_words[0] != '\0' ? ", certificate not verified: " : "",
        slot->is_unverified ? slot->certificate_words : "",
        is_refusal && slot->words_len > 0 ? ", answer: " : "", is_refusal ? slot->words : "");
}

/* R58.  An answer that was cut short after its status counts by its status. */
static void judge_status(struct https_slot *slot, long code, struct delivery_result *result)
{
    static const int LATER[] = {408, 425, 429};
    curl_off_t retry_after_s = 0;
    enum delivery_result_kind kind =
        CLASS_OF(code) == 5 ? DELIVERY_RESULT_TRY_LATER : DELIVERY_RESULT_GIVE_UP;

    if (CLASS_OF(code) == 2) {
        set_result(result, slot, DELIVERY_RESULT_DELIVERED, code, "");
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(LATER); i++)
        if (code == LATER[i])
            kind = DELIVERY_RESULT_TRY_LATER;
    set_result(result, slot, kind, code, CLASS_OF(code) == 3 ? "redirects are not followed" : "");
    if (kind == DELIVERY_RESULT_TRY_LATER &&
        curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK && retry_after_s > 0)
        result->retry_after_s = retry_after_s;
}

static enum delivery_stage stage_of(CURLcode result, bool is_connected)
{
    switch ((int)result) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return DELIVERY_AT_RESOLVE;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CIPHER:
        return DELIVERY_AT_TLS;
    default:
        return is_connected ? DELIVERY_AT_HTTP : DELIVERY_AT_CONNECT;
    }
}

/* Then the post may have arrived. */
static bool is_all_sent(const struct https_slot *slot)
{
    curl_off_t sent = 0;

    (void)curl_easy_getinfo(slot->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent == (curl_off_t)slot->post.len;
}

static void judge_failure(struct https_slot *slot, CURLcode code, struct delivery_result *result)
{
    curl_off_t connect_us = 0;

    if (slot->is_refused) {
        delivery_result_set(result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_ADDRESS_POLICY, 0,
                            "%s port %u is neither public nor in https_allow", slot->host,
                            (unsigned)slot->port);
        return;
    }
    (void)curl_easy_getinfo(slot->easy, CURLINFO_APPCONNECT_TIME_T, &connect_us);
    delivery_result_set(result, DELIVERY_RESULT_TRY_LATER, stage_of(code, connect_us > 0), 0, "%s",
                        slot->error[0] != '\0' ? slot->error : curl_easy_strerror(code));
    if (is_all_sent(slot))
        delivery_result_put_in_doubt(result);
}

static void set_done(struct https_pool *pool, struct https_slot *slot)
{
    slot->state = SLOT_DONE;
    pool->done_count++;
}

/* ---- callbacks of curl ---- */

/* Count body and header bytes; too many end the transfer. */
static size_t count_answer(struct https_slot *slot, size_t len)
{
    slot->answer_bytes += len;
    return slot->answer_bytes > HTTPS_ANSWER_MAX ? 0 : len;
}

// NOLINTNEXTLINE(readability-non-const-parameter): curl's type
static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    return count_answer(context, size * count);
}

// NOLINTNEXTLINE(readability-non-const-parameter): curl's type
static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct https_slot *slot = context;

    for (size_t i = 0; i < size * count && slot->words_len < WORDS_MAX; i++)
        if (slot->words_len > 0 || strchr(" \t\r\n", bytes[i]) == NULL)
            slot->words[slot->words_len++] = bytes[i] != '\0' ? bytes[i] : '?';
    slot->words[slot->words_len] = '\0';
    return count_answer(slot, size * count);
}

static bool is_pinned(const struct https_slot *slot, const struct address *address)
{
    for (size_t i = 0; i < slot->address_count; i++)
        if (slot->addresses[i].len == address->len &&
            memcmp(slot->addresses[i].bytes, address->bytes, address->len) == 0)
            return true;
    return false;
}

/* The last check before a connection is made (R61). */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *peer)
{
    struct https_slot *slot = context;
    struct address address;

    (void)purpose;
    if (!address_from_sockaddr(&peer->addr, &address) || !is_pinned(slot, &address)) {
        slot->is_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
}

/* ---- one transfer ---- */

/* "host:port:address,address" for curl's own table of names; NULL if memory is out. */
static struct curl_slist *make_pins(const struct https_slot *slot)
{
    struct curl_slist *pins;
    struct strbuf entry;

    strbuf_init(&entry, RESOLVE_MAX);
    strbuf_addf(&entry, "%s:%u:", slot->host, (unsigned)slot->port);
    for (size_t i = 0; i < slot->address_count; i++) {
        char text[ADDRESS_TEXT_SIZE];

        address_format(&slot->addresses[i], text);
        strbuf_addf(&entry, slot->addresses[i].len == 16 ? "%s[%s]" : "%s%s", i > 0 ? "," : "", text);
    }
    pins = strbuf_is_failed(&entry) ? NULL : curl_slist_append(NULL, entry.data);
    strbuf_done(&entry);
    return pins;
}

/* Keep what the address policy allows; 0 if that is nothing. */
static size_t take_addresses(struct https_slot *slot, const struct address_policy *address_policy,
                             const struct address *addresses, size_t count)
{
    slot->address_count = 0;
    for (size_t i = 0; i < count && slot->address_count < HTTPS_ADDRESSES_MAX; i++)
        if (address_policy_allows(address_policy, &addresses[i], slot->port))
            slot->addresses[slot->address_count++] = addresses[i];
    return slot->address_count;
}

/* Start a transfer to the slot's url, host, port and addresses. */
static bool launch(struct https_pool *pool, struct https_slot *slot)
{
    bool is_verified = pool->settings->verify != HTTPS_VERIFY_OFF && !slot->is_unverified;
    int64_t left_ms = slot->post.deadline_ms - clock_monotonic_ms();
    struct curl_slist *pins = NULL;
    struct address address;

    /* An address needs no pin, and curl could not read an IPv6 one. */
    if (!address_parse(slot->host, strlen(slot->host), &address)) {
        pins = make_pins(slot);
        if (pins == NULL)
            return false;
    }
    slot->is_refused = false;
    slot->answer_bytes = 0;
    slot->words_len = 0;
    slot->words[0] = '\0';
    slot->error[0] = '\0';
    if (left_ms > pool->settings->total_timeout_ms)
        left_ms = pool->settings->total_timeout_ms;
    if (curl_easy_setopt(slot->easy, CURLOPT_URL, slot->url) != CURLE_OK ||
        curl_easy_setopt(slot->easy, CURLOPT_RESOLVE, pins) != CURLE_OK ||
        curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1)) != CURLE_OK ||
        curl_easy_setopt(slot->easy, CURLOPT_SSL_VERIFYPEER, (long)is_verified) != CURLE_OK ||
        curl_easy_setopt(slot->easy, CURLOPT_SSL_VERIFYHOST, is_verified ? 2L : 0L) != CURLE_OK ||
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->post.body) != CURLE_OK ||
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->post.len) != CURLE_OK ||
        curl_multi_add_handle(pool->multi, slot->easy) != CURLM_OK) {
        curl_slist_free_all(pins);
        return false;
    }
    curl_slist_free_all(slot->pins);
    slot->pins = pins;
    slot->state = SLOT_BUSY;
    return true;
}

/* Copy text that is known to fit. */
static void copy_text(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text);
}

static bool is_unverified_host(const struct https_pool *pool, const char *host)
{
    for (size_t i = 0; i < UNVERIFIED_MAX; i++)
        if (strcmp(pool->unverified_hosts[i], host) == 0)
            return true;
    return false;
}

static void remember_unverified(struct https_pool *pool, const char *host)
{
    if (is_unverified_host(pool, host))
        return;
    copy_text(pool->unverified_hosts[pool->unverified_next], sizeof pool->unverified_hosts[0], host);
    pool->unverified_next = (pool->unverified_next + 1) % UNVERIFIED_MAX;
}

/* False if this post cannot be tried: slot->result says why. */
static bool prepare(struct https_pool *pool, struct https_slot *slot)
{
    const struct https_post *post = &slot->post;

    slot->port = post->port;
    slot->redirects = 0;
    slot->certificate_words[0] = '\0';
    slot->is_unverified = false;
    if (strncasecmp(post->url, "https://", 8) != 0 || strlen(post->url) > HTTPS_URL_MAX ||
        strlen(post->host) >= sizeof slot->host) {
        delivery_result_set(&slot->result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, 0,
                            "not a usable https URL");
        return false;
    }
    copy_text(slot->url, sizeof slot->url, post->url);
    copy_text(slot->host, sizeof slot->host, post->host);
    if (post->address_count == 0) {
        delivery_result_set(&slot->result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE, 0,
                            "%s has no address", slot->host);
        return false;
    }
    if (take_addresses(slot, pool->settings->address_policy, post->addresses, post->address_count) == 0) {
        delivery_result_set(&slot->result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_ADDRESS_POLICY, 0,
                            "%s port %u is neither public nor in https_allow", slot->host,
                            (unsigned)slot->port);
        return false;
    }
    if (pool->settings->verify == HTTPS_VERIFY_FALLBACK && is_unverified_host(pool, slot->host)) {
        slot->is_unverified = true;
        copy_text(slot->certificate_words, sizeof slot->certificate_words, "found bad in an earlier post");
    }
    return true;
}

void https_start(struct https_pool *pool, const struct https_post *post)
{
    struct https_slot *slot = pool->slots;

    while (slot->state != SLOT_FREE)
        slot++;
    slot->post = *post;
    if (!prepare(pool, slot)) {
        set_done(pool, slot);
        return;
    }
    if (!launch(pool, slot)) {
        delivery_result_set(&slot->result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_START, 0, "out of memory");
        set_done(pool, slot);
    }
}

/* ---- redirects ---- */

/* Copy url, its host and port into the slot; false if it is not an https URL that we would post to. */
static bool take_url(struct https_slot *slot, const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    bool is_fine = false;

    if (parts == NULL || strlen(url) > HTTPS_URL_MAX ||
        curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
        goto out;
    if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || strcmp(scheme, "https") != 0 ||
        curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        strlen(host) >= sizeof slot->host)
        goto out;
    copy_text(slot->url, sizeof slot->url, url);
    copy_text(slot->host, sizeof slot->host, host[0] == '[' ? host + 1 : host);
    slot->host[strcspn(slot->host, "]")] = '\0';
    slot->port = (uint16_t)strtoul(port, NULL, 10);
    is_fine = true;
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(parts);
    return is_fine;
}

/* A redirect to addresses of slot->host: true if a new request is under way. */
static bool launch_redirect(struct https_pool *pool, struct https_slot *slot, const struct address *addresses,
                            size_t count)
{
    if (take_addresses(slot, pool->settings->address_policy, addresses, count) == 0)
        return false;
    slot->redirects++;
    slot->is_unverified = false;
    return launch(pool, slot);
}

/* Follow a 307 or 308 if settings and URL allow it; true if a request or a lookup is under way. */
static bool follow(struct https_pool *pool, struct https_slot *slot, long code)
{
    struct address address;
    char *location = NULL;

    if ((code != 307 && code != 308) || slot->redirects >= pool->settings->redirects ||
        curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_URL, &location) != CURLE_OK || location == NULL ||
        !take_url(slot, location))
        return false;
    slot->redirect_code = code;
    if (address_parse(slot->host, strlen(slot->host), &address))
        return launch_redirect(pool, slot, &address, 1);
    slot->state = SLOT_ASKING;
    pool->asking_count++;
    return true;
}

bool https_wants_addresses(struct https_pool *pool, int64_t *id_out, const char **host_out)
{
    for (size_t i = 0; i < pool->slot_count && pool->asking_count > 0; i++) {
        struct https_slot *slot = &pool->slots[i];

        if (slot->state != SLOT_ASKING)
            continue;
        slot->state = SLOT_AWAITING;
        pool->asking_count--;
        *id_out = slot->post.id;
        *host_out = slot->host;
        return true;
    }
    return false;
}

void https_locate(struct https_pool *pool, int64_t id, const struct address *addresses, size_t count,
                  const char *trouble)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct https_slot *slot = &pool->slots[i];

        if (slot->state != SLOT_AWAITING || slot->post.id != id ||
            launch_redirect(pool, slot, addresses, count))
            continue;
        if (trouble != NULL)
            delivery_result_set(&slot->result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_RESOLVE, 0, "%s: %s",
                                slot->host, trouble);
        else
            judge_status(slot, slot->redirect_code, &slot->result);
        set_done(pool, slot);
    }
}

/* ---- the end of a transfer ---- */

/* The certificate is bad and the settings say to post all the same; true if a new request was started. */
static bool fall_back(struct https_pool *pool, struct https_slot *slot, CURLcode result)
{
    if (result != CURLE_PEER_FAILED_VERIFICATION || slot->is_unverified || slot->is_refused ||
        pool->settings->verify != HTTPS_VERIFY_FALLBACK)
        return false;
    slot->is_unverified = true;
    copy_text(slot->certificate_words, sizeof slot->certificate_words, slot->error);
    remember_unverified(pool, slot->host);
    return launch(pool, slot);
}

static void finish(struct https_pool *pool, struct https_slot *slot, CURLcode curl_code)
{
    long code = 0;

    (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_multi_remove_handle(pool->multi, slot->easy);
    if (fall_back(pool, slot, curl_code) || (curl_code == CURLE_OK && follow(pool, slot, code)))
        return;
    if (code >= 200)
        judge_status(slot, code, &slot->result);
    else
        judge_failure(slot, curl_code, &slot->result);
    set_done(pool, slot);
}

static void take_messages(struct https_pool *pool)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(pool->multi, &left)) != NULL) {
        char *slot = NULL;
        CURLcode result = message->data.result;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot) == CURLE_OK)
            finish(pool, (struct https_slot *)(void *)slot, result);
    }
}

bool https_take(struct https_pool *pool, int64_t *id_out, struct delivery_result *result_out)
{
    for (size_t i = 0; i < pool->slot_count && pool->done_count > 0; i++) {
        struct https_slot *slot = &pool->slots[i];

        if (slot->state != SLOT_DONE)
            continue;
        slot->state = SLOT_FREE;
        pool->done_count--;
        *id_out = slot->post.id;
        *result_out = slot->result;
        return true;
    }
    return false;
}

/* A post that is broken off may have arrived. */
void https_end(struct https_pool *pool, const char *reason)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct https_slot *slot = &pool->slots[i];

        if (slot->state == SLOT_FREE || slot->state == SLOT_DONE)
            continue;
        delivery_result_set(&slot->result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_HTTP, 0, "%s", reason);
        if (slot->state == SLOT_BUSY) {
            if (is_all_sent(slot))
                delivery_result_put_in_doubt(&slot->result);
            (void)curl_multi_remove_handle(pool->multi, slot->easy);
        }
        set_done(pool, slot);
    }
    pool->asking_count = 0;
}

enum status https_poll(struct https_pool *pool, struct pollfd *fds, size_t count, int wait_ms,
                       struct err *err)
{
    struct curl_waitfd waits[HTTPS_POLL_MAX];
    int running = 0;
    CURLMcode code = curl_multi_perform(pool->multi, &running);

    take_messages(pool);
    for (size_t i = 0; i < count; i++) {
        waits[i] =
            (struct curl_waitfd){.fd = fds[i].fd,
                                 .events = (short)(((fds[i].events & POLLIN) != 0 ? CURL_WAIT_POLLIN : 0) |
                                                   ((fds[i].events & POLLOUT) != 0 ? CURL_WAIT_POLLOUT : 0))};
        fds[i].revents = 0;
    }
    if (code == CURLM_OK)
        code = curl_multi_poll(pool->multi, waits, (unsigned)count,
                               pool->done_count + pool->asking_count > 0 ? 0 : wait_ms, NULL);
    if (code != CURLM_OK)
        return err_set(err, code == CURLM_OUT_OF_MEMORY ? ST_NOMEM : ST_INTERNAL, "curl cannot go on: %s",
                       curl_multi_strerror(code));
    for (size_t i = 0; i < count; i++)
        fds[i].revents = (short)(((waits[i].revents & CURL_WAIT_POLLIN) != 0 ? POLLIN : 0) |
                                 ((waits[i].revents & CURL_WAIT_POLLOUT) != 0 ? POLLOUT : 0));
    return ST_OK;
}

/* ---- setting up ---- */

/* Options that are the same for every post.  A refused option would be a security hole: all or nothing. */
static CURLcode set_common(const struct https_pool *pool, struct https_slot *slot)
{
    const struct https_settings *settings = pool->settings;
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_PATH_AS_IS, 1}, /* R60 */
        {CURLOPT_POST, 1},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1}, /* a broken connection costs one post, not many */
        {CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms},
    };
    const struct {
        CURLoption option;
        const char *value;
    } texts[] = {
        {CURLOPT_PROTOCOLS_STR, "https"},
        {CURLOPT_REDIR_PROTOCOLS_STR, "https"},
        {CURLOPT_PROXY, ""}, /* an environment's proxy would get around the address policy */
        {CURLOPT_USERAGENT, settings->user_agent},
        {CURLOPT_ERRORBUFFER, slot->error},
    };
    CURLcode result = CURLE_OK;

    for (size_t i = 0; i < ARRAY_COUNT(numbers) && result == CURLE_OK; i++)
        result = curl_easy_setopt(slot->easy, numbers[i].option, numbers[i].value);
    for (size_t i = 0; i < ARRAY_COUNT(texts) && result == CURLE_OK; i++)
        result = curl_easy_setopt(slot->easy, texts[i].option, texts[i].value);
    return result;
}

static CURLcode set_pointers(const struct https_pool *pool, struct https_slot *slot)
{
    CURLcode result = curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, pool->headers);

    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, on_body);
    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_HEADERFUNCTION, on_header);
    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_HEADERDATA, slot);
    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_OPENSOCKETDATA, slot);
    if (result == CURLE_OK)
        result = curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
    if (result == CURLE_OK && *pool->settings->ca_file != '\0')
        result = curl_easy_setopt(slot->easy, CURLOPT_CAINFO, pool->settings->ca_file);
    return result;
}

static bool make_headers(struct https_pool *pool)
{
    /* R57: no Content-Encoding.  "Expect:" without a value: do not ask first. */
    static const char *const HEADERS[] = {"Content-Type: application/tlsrpt+gzip", "Expect:"};

    for (size_t i = 0; i < ARRAY_COUNT(HEADERS); i++) {
        struct curl_slist *longer = curl_slist_append(pool->headers, HEADERS[i]);

        if (longer == NULL)
            return false;
        pool->headers = longer;
    }
    return true;
}

static enum status open_pool(struct https_pool *pool, struct err *err)
{
    const struct https_settings *settings = pool->settings;
    CURLcode result;
    size_t count;

    if (*settings->ca_file != '\0' && access(settings->ca_file, R_OK) != 0)
        return err_set(err, ST_CONFIG, "%s cannot be read", settings->ca_file);
    result = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (result != CURLE_OK)
        return err_set(err, result == CURLE_OUT_OF_MEMORY ? ST_NOMEM : ST_INTERNAL, "curl cannot start");
    count = settings->parallel < 1 ? 1 : settings->parallel;
    if (count > HTTPS_PARALLEL_MAX)
        count = HTTPS_PARALLEL_MAX;
    pool->slots = calloc(count, sizeof *pool->slots);
    pool->slot_count = pool->slots != NULL ? count : 0;
    pool->multi = curl_multi_init();
    if (pool->slots == NULL || pool->multi == NULL || !make_headers(pool))
        return err_set(err, ST_NOMEM, "out of memory");
    (void)curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)pool->slot_count * 2);
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct https_slot *slot = &pool->slots[i];

        slot->easy = curl_easy_init();
        if (slot->easy == NULL)
            return err_set(err, ST_NOMEM, "out of memory");
        result = set_common(pool, slot);
        if (result == CURLE_OK)
            result = set_pointers(pool, slot);
        if (result == CURLE_OUT_OF_MEMORY)
            return err_set(err, ST_NOMEM, "out of memory");
        if (result != CURLE_OK)
            return err_set(err, ST_INTERNAL, "this curl lacks an option that is needed");
    }
    return ST_OK;
}

void https_close(struct https_pool **pool_pointer)
{
    struct https_pool *pool = *pool_pointer;

    *pool_pointer = NULL;
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->slot_count; i++) {
        if (pool->slots[i].state == SLOT_BUSY)
            (void)curl_multi_remove_handle(pool->multi, pool->slots[i].easy);
        curl_easy_cleanup(pool->slots[i].easy);
        curl_slist_free_all(pool->slots[i].pins);
    }
    free(pool->slots);
    (void)curl_multi_cleanup(pool->multi);
    curl_slist_free_all(pool->headers);
    free(pool);
}

enum status https_open(const struct https_settings *settings, struct https_pool **pool_out, struct err *err)
{
    struct https_pool *pool = calloc(1, sizeof *pool);
    enum status status;

    if (pool == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    pool->settings = settings;
    status = open_pool(pool, err);
    if (status == ST_OK)
        *pool_out = pool;
    else
        https_close(&pool);
    return status;
}
