/* SPDX-License-Identifier: MIT */
/*
 * For each key (RFC 6376 section 3.7):
 *   1. bh = base64(SHA-256(body in relaxed form)); the same for all keys.
 *   2. Write the DKIM-Signature field with everything but the signature.
 *   3. Hash the signed fields in relaxed form, in the order of h=, then that field with an empty b=.
 *   4. Sign the hash, fill in b=.
 */
#include "mail/dkim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base64.h"

#define BASE64_COLUMNS    72
#define HEADER_BYTES_MAX  65536
#define SIGNATURE_MAX     2048 /* bytes: RSA up to 16384 bits */
#define ED25519_KEY_BYTES 32

/*
 * What is signed, from the bottom up where a field occurs more than once.  The fields after
 * TLS-Report-Submitter appear a second time: that one is signed as absent, so that nobody can add one.
 * TLS-Required is not signed: relays may remove it.
 */
static const char *const SIGNED_FIELDS[] = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
};

static const struct {
    const char *key_name; /* k= in the DNS record */
    int key_type;
    const char *kind; /* for people */
} ALGORITHMS[DKIM_ALGORITHM_COUNT] = {
    [DKIM_RSA_SHA256] = {"rsa", EVP_PKEY_RSA, "RSA"},
    [DKIM_ED25519_SHA256] = {"ed25519", EVP_PKEY_ED25519, "Ed25519"},
};

struct dkim_key {
    char *selector;
    enum dkim_algorithm algorithm;
    EVP_PKEY *key;
};

struct dkim_keys {
    char *domain;
    struct dkim_key keys[DKIM_KEYS_MAX];
    size_t count;
};

static enum status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "DKIM: out of memory");
}

/* What OpenSSL would not do: malloc's mark in errno, cleared before, tells a lack of memory from a bug. */
static enum status refused(struct err *err, const char *what)
{
    ERR_clear_error();
    if (errno == ENOMEM)
        return out_of_memory(err);
    return err_set(err, ST_INTERNAL, "DKIM: %s", what);
}

/* ---- keys ---- */

/* The bytes of a key file that only its owner and group may touch. */
static enum status read_key_file(const char *file, struct strbuf *out, struct err *err)
{
    enum status status = ST_OK;
    struct stat found;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set_errno(err, ST_CONFIG, errno, "DKIM key %s", file);
    if (fstat(fd, &found) != 0)
        status = err_set_errno(err, ST_CONFIG, errno, "DKIM key %s", file);
    else if (!S_ISREG(found.st_mode))
        status = err_set(err, ST_CONFIG, "DKIM key %s: not a file; name one", file);
    else if ((found.st_mode & S_IRWXO) != 0)
        status = err_set(err, ST_CONFIG, "DKIM key %s: others may read it; run: chmod o= %s", file, file);
    else
        status = file_read_fd(fd, file, out, err);
    if (status == ST_IO || status == ST_RANGE)
        status =
            err_set(err, ST_CONFIG, "DKIM key %s: cannot be read, or larger than %d bytes; name another file",
                    file, DKIM_KEY_FILE_MAX);
    (void)close(fd);
    return status;
}

/* Asked when a key is encrypted: there is nobody to ask. */
static int no_passphrase(char *text_out, int size, int is_writing, void *context)
{
    (void)is_writing;
    (void)context;
    if (size > 0)
        text_out[0] = '\0';
    return -1;
}

static enum status check_key(const struct dkim_key_setting *setting, EVP_PKEY *key, struct err *err)
{
    if (key == NULL && errno == ENOMEM)
        return out_of_memory(err);
    if (key == NULL)
        return err_set(
            err, ST_CONFIG,
            "DKIM key %s: no private key in PEM form without passphrase; make one with openssl genpkey",
            setting->file);
    if (EVP_PKEY_get_base_id(key) != ALGORITHMS[setting->algorithm].key_type)
        return err_set(err, ST_CONFIG, "DKIM key %s: not an %s key; name its own algorithm, or another file",
                       setting->file, ALGORITHMS[setting->algorithm].kind);
    if (setting->algorithm == DKIM_RSA_SHA256 && EVP_PKEY_get_bits(key) < DKIM_RSA_BITS_MIN)
        return err_set(err, ST_CONFIG, "DKIM key %s: %d bits are too few; use %d or more", setting->file,
                       EVP_PKEY_get_bits(key), DKIM_RSA_BITS_MIN);
    if (EVP_PKEY_get_size(key) > SIGNATURE_MAX)
        return err_set(err, ST_CONFIG, "DKIM key %s: too large; use 4096 bits or fewer", setting->file);
    return ST_OK;
}

static enum status load_key(const struct dkim_key_setting *setting, struct dkim_key *key, struct err *err)
{
    enum status status;
    struct strbuf pem;
    BIO *bio = NULL;

    strbuf_init(&pem, DKIM_KEY_FILE_MAX);
    status = read_key_file(setting->file, &pem, err);
    if (status != ST_OK)
        goto out;
    key->algorithm = setting->algorithm;
    key->selector = strdup(setting->selector);
    bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (key->selector == NULL || bio == NULL) {
        status = out_of_memory(err);
        goto out;
    }
    errno = 0; /* malloc's mark tells a lack of memory from a bad key */
    key->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    status = check_key(setting, key->key, err);
out:
    ERR_clear_error(); /* what OpenSSL queued is none of the next user's */
    BIO_free(bio);
    OPENSSL_cleanse(pem.data, pem.len);
    strbuf_done(&pem);
    return status;
}

static enum status check_settings(const struct dkim_key_setting *settings, size_t count, struct err *err)
{
    if (count > DKIM_KEYS_MAX)
        return err_set(err, ST_CONFIG, "%zu DKIM keys; at most %d can be used", count, DKIM_KEYS_MAX);
    for (size_t i = 1; i < count; i++)
        if (strcmp(settings[i].selector, settings[0].selector) == 0)
            return err_set(err, ST_CONFIG, "DKIM selector %s stands for two keys; name another one",
                           settings[0].selector);
    return ST_OK;
}

enum status dkim_keys_load(const struct dkim_key_setting *settings, size_t count, const char *domain,
                           struct dkim_keys **keys_out, struct err *err)
{
    enum status status = check_settings(settings, count, err);
    struct dkim_keys *keys;

    if (status != ST_OK)
        return status;
    keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return out_of_memory(err);
    keys->domain = strdup(domain);
    if (keys->domain == NULL)
        status = out_of_memory(err);
    while (keys->count < count && status == ST_OK) {
        status = load_key(&settings[keys->count], &keys->keys[keys->count], err);
        keys->count++; /* also after a failure: what it holds is to be freed */
    }
    if (status == ST_OK)
        *keys_out = keys;
    else
        dkim_keys_free(&keys);
    return status;
}

void dkim_keys_free(struct dkim_keys **keys)
{
    if (*keys == NULL)
        return;
    for (size_t i = 0; i < (*keys)->count; i++) {
        free((*keys)->keys[i].selector);
        EVP_PKEY_free((*keys)->keys[i].key);
    }
    free((*keys)->domain);
    free(*keys);
    *keys = NULL;
}

size_t dkim_keys_count(const struct dkim_keys *keys)
{
    return keys != NULL ? keys->count : 0;
}

/* ---- relaxed form (RFC 6376 sections 3.4.2 and 3.4.4) ---- */

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* "name:value" with the name in lower case, folds undone, each run of blanks one blank, none at the ends. */
static void add_relaxed_field(struct span field, struct strbuf *out)
{
    size_t at = 0;
    bool is_pending = false; /* a blank that is not written yet */
    size_t begin;

    for (; at < field.len && field.at[at] != ':'; at++)
        if (!is_blank(field.at[at]))
            strbuf_add_char(out, field.at[at] >= 'A' && field.at[at] <= 'Z' ? (char)(field.at[at] | 0x20)
                                                                            : field.at[at]);
    strbuf_add_char(out, ':');
    begin = out->len;
    for (at++; at < field.len; at++) {
        char byte = field.at[at];

        if (byte == '\r' || byte == '\n')
            continue;
        if (is_blank(byte)) {
            is_pending = true;
            continue;
        }
        if (is_pending && out->len > begin)
            strbuf_add_char(out, ' ');
        is_pending = false;
        strbuf_add_char(out, byte);
    }
}

/* One body line without its end: runs of blanks become one blank, none at the end. */
static void add_relaxed_line(struct span line, struct strbuf *out)
{
    bool is_pending = false;

    for (size_t i = 0; i < line.len; i++) {
        if (is_blank(line.at[i])) {
            is_pending = true;
            continue;
        }
        if (is_pending)
            strbuf_add_char(out, ' ');
        is_pending = false;
        strbuf_add_char(out, line.at[i]);
    }
}

/* The next line without CRLF; *at moves behind it. */
static struct span next_line(const char **at, const char *end)
{
    const char *line_end = memmem(*at, (size_t)(end - *at), "\r\n", 2);
    struct span line = {*at, (size_t)((line_end != NULL ? line_end : end) - *at)};

    *at = line_end != NULL ? line_end + 2 : end;
    return line;
}

/* Step 1; empty lines are held back, since those at the end do not count. */
static enum status hash_body(const char *body, const char *end, unsigned char hash_out[SHA256_DIGEST_LENGTH],
                             struct err *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct strbuf line;
    size_t empty_lines = 0;
    bool is_good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    strbuf_init(&line, (size_t)(end - body) + 2);
    while (body < end && is_good) {
        strbuf_reset(&line);
        add_relaxed_line(next_line(&body, end), &line);
        if (strbuf_is_failed(&line)) { /* or it would pass for an empty line */
            is_good = false;
            break;
        }
        if (line.len == 0) {
            empty_lines++;
            continue;
        }
        for (; empty_lines > 0 && is_good; empty_lines--)
            is_good = EVP_DigestUpdate(context, "\r\n", 2) == 1;
        strbuf_add(&line, "\r\n", 2);
        is_good = is_good && !strbuf_is_failed(&line) && EVP_DigestUpdate(context, line.data, line.len) == 1;
    }
    is_good = is_good && EVP_DigestFinal_ex(context, hash_out, NULL) == 1;
    strbuf_done(&line);
    EVP_MD_CTX_free(context);
    return is_good ? ST_OK : refused(err, "the body could not be hashed");
}

/* ---- fields ---- */

/* The next field with its folded lines, without the last CRLF. */
static struct span next_field(const char **at, const char *end)
{
    struct span field = next_line(at, end);

    while (*at < end && is_blank(**at)) {
        struct span more = next_line(at, end);

        field.len = (size_t)(more.at + more.len - field.at);
    }
    return field;
}

static bool has_name(struct span field, const char *name)
{
    size_t len = strlen(name);

    return field.len > len && field.at[len] == ':' && strncasecmp(field.at, name, len) == 0;
}

/* Field number nth of that name from the bottom (0 is the last); an empty span if there are not so many. */
static struct span find_field(struct span header, const char *name, size_t nth)
{
    const char *end = header.at + header.len;
    size_t count = 0;

    for (const char *at = header.at; at < end;)
        count += has_name(next_field(&at, end), name) ? 1 : 0;
    if (nth >= count)
        return (struct span){NULL, 0};
    for (const char *at = header.at; at < end;) {
        struct span field = next_field(&at, end);

        if (has_name(field, name) && count-- == nth + 1)
            return field;
    }
    return (struct span){NULL, 0};
}

/* Step 3's first half: the signed fields, each with CRLF. */
static void add_signed_fields(struct span header, struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(SIGNED_FIELDS); i++) {
        size_t nth = 0;
        struct span field;

        for (size_t k = 0; k < i; k++)
            nth += strcmp(SIGNED_FIELDS[k], SIGNED_FIELDS[i]) == 0 ? 1 : 0;
        field = find_field(header, SIGNED_FIELDS[i], nth);
        if (field.at == NULL)
            continue;
        add_relaxed_field(field, out);
        strbuf_add_text(out, "\r\n");
    }
}

/* Step 2: up to and including "b=", folded; R45: no l=. */
static void add_unsigned_field(const struct dkim_keys *keys, const struct dkim_key *key, int64_t time_s,
                               const unsigned char *body_hash, struct strbuf *out)
{
    size_t column = 0;

    strbuf_addf(out, "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed; d=%s;\r\n\ts=%s; t=%" PRId64 ";\r\n\th=",
                dkim_algorithm_name(key->algorithm), keys->domain, key->selector, time_s);
    for (size_t i = 0; i < ARRAY_COUNT(SIGNED_FIELDS); i++) {
        column += strlen(SIGNED_FIELDS[i]) + 1;
        if (column > BASE64_COLUMNS - 4) {
            strbuf_add_text(out, "\r\n\t ");
            column = strlen(SIGNED_FIELDS[i]) + 1;
        }
        strbuf_addf(out, "%s%s", SIGNED_FIELDS[i], i + 1 < ARRAY_COUNT(SIGNED_FIELDS) ? ":" : ";\r\n\tbh=");
    }
    base64_encode(body_hash, SHA256_DIGEST_LENGTH, 0, "", out);
    strbuf_add_text(out, ";\r\n\tb=");
}

/* ---- signing ---- */

/*
 * Step 4.  RSA signs the SHA-256 hash of data as PKCS #1 v1.5; Ed25519 signs that hash as its message
 * (RFC 8463 section 3).
 */
static enum status sign_data(const struct dkim_key *key, const struct strbuf *data, struct strbuf *out,
                             struct err *err)
{
    bool is_rsa = key->algorithm == DKIM_RSA_SHA256;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    unsigned char signature[SIGNATURE_MAX];
    size_t len = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good;

    is_good = SHA256((const unsigned char *)data->data, data->len, hash) != NULL && context != NULL &&
              EVP_DigestSignInit(context, NULL, is_rsa ? EVP_sha256() : NULL, NULL, key->key) == 1 &&
              EVP_DigestSign(context, signature, &len, is_rsa ? (const unsigned char *)data->data : hash,
                             is_rsa ? data->len : sizeof hash) == 1;
    EVP_MD_CTX_free(context);
    if (!is_good)
        return refused(err, "signing failed");
    base64_encode(signature, len, BASE64_COLUMNS, "\r\n\t ", out);
    strbuf_add_text(out, "\r\n");
    return ST_OK;
}

static enum status sign_with(const struct dkim_keys *keys, const struct dkim_key *key, struct span header,
                             const unsigned char *body_hash, int64_t time_s, struct strbuf *out,
                             struct err *err)
{
    size_t begin = out->len;
    struct strbuf data;
    enum status status;

    strbuf_init(&data, HEADER_BYTES_MAX);
    add_unsigned_field(keys, key, time_s, body_hash, out);
    add_signed_fields(header, &data);
    add_relaxed_field((struct span){out->data + begin, out->len - begin}, &data);
    if (strbuf_is_failed(&data) || strbuf_is_failed(out))
        status = out_of_memory(err);
    else
        status = sign_data(key, &data, out, err);
    if (status == ST_OK && strbuf_is_failed(out))
        status = out_of_memory(err);
    strbuf_done(&data);
    return status;
}

enum status dkim_sign(const struct dkim_keys *keys, const char *message, size_t len, int64_t time_s,
                      struct strbuf *out, struct err *err)
{
    unsigned char body_hash[SHA256_DIGEST_LENGTH];
    const char *header_end = memmem(message, len, "\r\n\r\n", 4);
    enum status status;

    errno = 0;
    if (header_end == NULL)
        return err_set(err, ST_SYNTAX, "DKIM: the message has no end of its header");
    status = hash_body(header_end + 4, message + len, body_hash, err);
    for (size_t i = 0; i < dkim_keys_count(keys) && status == ST_OK; i++)
        status = sign_with(keys, &keys->keys[i], (struct span){message, (size_t)(header_end + 2 - message)},
                           body_hash, time_s, out, err);
    return status;
}

/* ---- what to publish ---- */

/* The key as its DNS record has it: RSA as SubjectPublicKeyInfo, Ed25519 as the bare 32 bytes. */
static bool add_public_key(const struct dkim_key *key, struct strbuf *out)
{
    unsigned char raw[ED25519_KEY_BYTES];
    size_t raw_len = sizeof raw;
    unsigned char *der = NULL;
    int der_len;

    if (key->algorithm == DKIM_ED25519_SHA256) {
        if (EVP_PKEY_get_raw_public_key(key->key, raw, &raw_len) != 1)
            return false;
        base64_encode(raw, raw_len, 0, "", out);
        return true;
    }
    der_len = i2d_PUBKEY(key->key, &der);
    if (der_len > 0)
        base64_encode(der, (size_t)der_len, 0, "", out);
    OPENSSL_free(der);
    return der_len > 0;
}

enum status dkim_key_record(const struct dkim_keys *keys, size_t index, struct strbuf *name_out,
                            struct strbuf *record_out, struct err *err)
{
    const struct dkim_key *key = &keys->keys[index];

    errno = 0;
    strbuf_addf(name_out, "%s._domainkey.%s", key->selector, keys->domain);
    strbuf_addf(record_out, "v=DKIM1; k=%s; p=", ALGORITHMS[key->algorithm].key_name);
    if (!add_public_key(key, record_out))
        return refused(err, "the public key cannot be told");
    if (strbuf_is_failed(name_out) || strbuf_is_failed(record_out))
        return out_of_memory(err);
    return ST_OK;
}
