/* SPDX-License-Identifier: MIT */
/*
 * dkim.h - sign a mail: one DKIM-Signature field for each key, up to two.
 *
 * In:     a whole message as compose.h makes it, the time frozen with it.
 * Out:    header lines to put in front.
 * Source: RFC 6376 (relaxed/relaxed, no l=, each field that may occur once oversigned), RFC 8463
 *         (ed25519-sha256), RFC 8301
 *         (rsa-sha256 with 2048 bits or more); RFC 8460 sections 3 and 5.3 (R44 to R47); rfc8460.md C.4.
 *
 * Both algorithms are deterministic: the same message, time and keys give the same bytes.
 */
#ifndef MAIL_DKIM_H
#define MAIL_DKIM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "model/dkim_key.h"

#define DKIM_RSA_BITS_MIN 2048
#define DKIM_KEY_FILE_MAX 65536

struct dkim_keys;

/*
 * Read the private keys (PEM, not encrypted) of count settings, to sign for domain.  Free with
 * dkim_keys_free.
 * ST_CONFIG  a file is missing, world-readable, holds no key, the wrong kind of key or an RSA key below
 *            DKIM_RSA_BITS_MIN; more than DKIM_KEYS_MAX keys; the same selector twice; err names file and fix
 * ST_NOMEM
 */
MUST_CHECK enum status dkim_keys_load(const struct dkim_key_setting *settings, size_t count,
                                      const char *domain, struct dkim_keys **keys_out, struct err *err);
void dkim_keys_free(struct dkim_keys **keys);

/* How many keys; 0 for NULL. */
size_t dkim_keys_count(const struct dkim_keys *keys);

/*
 * Append one DKIM-Signature field per key, each with CRLF, to out: put them in front of message[0..len),
 * which has CRLF line ends throughout.  time_s becomes t=.
 * ST_SYNTAX    message has no end of its header
 * ST_INTERNAL  OpenSSL refused
 * ST_NOMEM
 */
MUST_CHECK enum status dkim_sign(const struct dkim_keys *keys, const char *message, size_t len,
                                 int64_t time_s, struct strbuf *out, struct err *err);

/*
 * Where and what to publish for key number index: name "SELECTOR._domainkey.DOMAIN" and the TXT record
 * "v=DKIM1; k=…; p=…", each appended.
 * ST_INTERNAL  OpenSSL refused
 * ST_NOMEM
 */
MUST_CHECK enum status dkim_key_record(const struct dkim_keys *keys, size_t index, struct strbuf *name_out,
                                       struct strbuf *record_out, struct err *err);

/*
 * Sign a sample with key number index and verify it with the public key of record[0..len), the text of a DNS
 * key record.
 * ST_OK         it verifies
 * ST_NOT_FOUND  the record revokes its key: p= is empty (RFC 6376 section 3.6.1)
 * ST_SYNTAX     not a key record of that algorithm
 * ST_DENIED     the key is another one
 * ST_INTERNAL   OpenSSL refused
 * ST_NOMEM
 */
MUST_CHECK enum status dkim_check_record(const struct dkim_keys *keys, size_t index, const char *record,
                                         size_t len, struct err *err);

#endif
