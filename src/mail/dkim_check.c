/* SPDX-License-Identifier: MIT */
/*
 * Sign a sample as a report's mail is signed, then verify it as a receiver would (RFC 6376 section 6.1), with
 * the public key of the DNS record.  The sample's own fields and body are in relaxed form already, so that
 * only the signature's field must be brought into it.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "base/cursor.h"
#include "base64.h"
#include "mail/dkim.h"
#include "mail_decode.h"

#define FIELDS_MAX    65536
#define KEY_BYTES_MAX 8192
#define SAMPLE_BODY   "sample\r\n"

static const char SAMPLE[] = "From: sample\r\nTo: sample\r\nSubject: sample\r\n\r\n" SAMPLE_BODY;
static const char SAMPLE_FIELDS[] = "from:sample\r\nto:sample\r\nsubject:sample\r\n";

static enum status out_of_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "DKIM: out of memory");
}

/* ---- the record ---- */

static EVP_PKEY *read_public_key(bool is_rsa, const struct strbuf *bytes)
{
    const unsigned char *at = (const unsigned char *)bytes->data;

    if (is_rsa)
        return d2i_PUBKEY(NULL, &at, (long)bytes->len);
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, at, bytes->len);
}

static enum status parse_record(struct span record, bool is_rsa, EVP_PKEY **public_out, struct err *err)
{
    struct span encoded = dkim_tag_find(record, "p"), kind = dkim_tag_find(record, "k");
    const char *wanted = is_rsa ? "rsa" : "ed25519";
    struct strbuf bytes;

    if (encoded.at != NULL && encoded.len == 0)
        return err_set(err, ST_NOT_FOUND, "the key is revoked: p= is empty");
    if (encoded.at == NULL || (kind.at == NULL ? !is_rsa : !span_is(kind, wanted)))
        return err_set(err, ST_SYNTAX, "not a key record with k=%s and p=", wanted);
    strbuf_init(&bytes, KEY_BYTES_MAX);
    mail_decode_body("base64", encoded.at, encoded.len, &bytes);
    *public_out = read_public_key(is_rsa, &bytes);
    strbuf_done(&bytes);
    ERR_clear_error(); /* what OpenSSL queued is none of the next user's */
    if (*public_out == NULL ||
        EVP_PKEY_get_base_id(*public_out) != (is_rsa ? EVP_PKEY_RSA : EVP_PKEY_ED25519))
        return err_set(err, ST_SYNTAX, "p= holds no %s key", is_rsa ? "RSA" : "Ed25519");
    return ST_OK;
}

/* ---- the signature ---- */

/* Field number index of those that dkim_sign made, without its last CRLF; at is NULL if it is not there. */
static struct span find_field(const struct strbuf *fields, size_t index)
{
    static const char NAME[] = "DKIM-Signature:";
    const char *at = fields->data, *end = fields->data + fields->len;

    for (; at != NULL && index > 0; index--)
        at = memmem(at + 1, (size_t)(end - at) - 1, NAME, strlen(NAME));
    if (at == NULL || (size_t)(end - at) < strlen(NAME) || memcmp(at, NAME, strlen(NAME)) != 0)
        return (struct span){NULL, 0};
    for (const char *line = at; (line = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL; line += 2)
        if (line + 2 == end || (line[2] != ' ' && line[2] != '\t'))
            return (struct span){at, (size_t)(line - at)};
    return (struct span){NULL, 0};
}

/* Name in lower case, unfolded, runs of blanks as one blank, none after the colon (RFC 6376 section 3.4.2). */
static void add_relaxed(struct span value, struct strbuf *out)
{
    bool is_pending = false;
    size_t begin;

    strbuf_add_text(out, "dkim-signature:");
    begin = out->len;
    for (size_t i = 0; i < value.len; i++) {
        if (strchr(" \t\r\n", value.at[i]) != NULL) {
            is_pending = true;
            continue;
        }
        if (is_pending && out->len > begin)
            strbuf_add_char(out, ' ');
        is_pending = false;
        strbuf_add_char(out, value.at[i]);
    }
}

/* RSA signs data as it is; Ed25519 signs its SHA-256 hash (RFC 8463 section 3). */
static bool verify(EVP_PKEY *public, bool is_rsa, const struct strbuf *data, struct span encoded)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct strbuf signature;
    bool is_good;

    strbuf_init(&signature, KEY_BYTES_MAX);
    mail_decode_body("base64", encoded.at, encoded.len, &signature);
    (void)SHA256((const unsigned char *)data->data, data->len, hash);
    is_good = context != NULL && !strbuf_is_failed(&signature) && !strbuf_is_failed(data) &&
              EVP_DigestVerifyInit(context, NULL, is_rsa ? EVP_sha256() : NULL, NULL, public) == 1 &&
              EVP_DigestVerify(context, (const unsigned char *)signature.data, signature.len,
                               is_rsa ? (const unsigned char *)data->data : hash,
                               is_rsa ? data->len : sizeof hash) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    strbuf_done(&signature);
    return is_good;
}

static bool is_body_hash(struct span encoded)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    struct strbuf text;
    bool is_same;

    (void)SHA256((const unsigned char *)SAMPLE_BODY, strlen(SAMPLE_BODY), hash);
    strbuf_init(&text, 64);
    base64_encode(hash, sizeof hash, 0, "", &text);
    is_same = span_is(encoded, text.data);
    strbuf_done(&text);
    return is_same;
}

/* field holds "b=" last, as dkim_sign writes it. */
static enum status verify_field(struct span field, EVP_PKEY *public, bool is_rsa, struct err *err)
{
    struct span value = {field.at + strlen("DKIM-Signature:"), field.len - strlen("DKIM-Signature:")};
    struct span encoded = dkim_tag_find(value, "b"), unsigned_value = value;
    struct strbuf data;
    bool is_good;

    if (encoded.at == NULL || !is_body_hash(dkim_tag_find(value, "bh")))
        return err_set(err, ST_INTERNAL, "DKIM: the sample's own signature cannot be read");
    unsigned_value.len = (size_t)(encoded.at - value.at);
    strbuf_init(&data, FIELDS_MAX);
    strbuf_add_text(&data, SAMPLE_FIELDS);
    add_relaxed(unsigned_value, &data);
    is_good = verify(public, is_rsa, &data, encoded);
    strbuf_done(&data);
    return is_good ? ST_OK : err_set(err, ST_DENIED, "it holds another key: a signed sample does not verify");
}

enum status dkim_check_record(const struct dkim_keys *keys, size_t index, const char *record, size_t len,
                              struct err *err)
{
    EVP_PKEY *public = NULL;
    struct strbuf fields;
    struct span field;
    enum status status;
    bool is_rsa;

    strbuf_init(&fields, FIELDS_MAX);
    status = dkim_sign(keys, SAMPLE, strlen(SAMPLE), 0, &fields, err);
    if (status == ST_OK && strbuf_is_failed(&fields))
        status = out_of_memory(err);
    if (status != ST_OK)
        goto out;
    field = find_field(&fields, index);
    if (field.at == NULL) {
        status = err_set(err, ST_INTERNAL, "DKIM: key %zu did not sign", index);
        goto out;
    }
    is_rsa = memmem(field.at, field.len, "a=rsa-sha256", strlen("a=rsa-sha256")) != NULL;
    status = parse_record((struct span){record, len}, is_rsa, &public, err);
    if (status == ST_OK)
        status = verify_field(field, public, is_rsa, err);
out:
    EVP_PKEY_free(public);
    strbuf_done(&fields);
    return status;
}
