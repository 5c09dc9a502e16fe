/* SPDX-License-Identifier: MIT */
/*
 * result_type.h - the registered STARTTLS validation result types.
 * Source: RFC 8460 sections 4.3 and 6.6 (IANA registry: exactly these eleven values, R23); the numbers are
 * libtlsrpt's failure codes (tlsrpt_failure_t).
 */
#ifndef MODEL_RESULT_TYPE_H
#define MODEL_RESULT_TYPE_H

#include <stdbool.h>

enum result_type {
    RESULT_STARTTLS_NOT_SUPPORTED,
    RESULT_CERTIFICATE_HOST_MISMATCH,
    RESULT_CERTIFICATE_EXPIRED,
    RESULT_CERTIFICATE_NOT_TRUSTED,
    RESULT_VALIDATION_FAILURE,
    RESULT_TLSA_INVALID,
    RESULT_DNSSEC_INVALID,
    RESULT_DANE_REQUIRED,
    RESULT_STS_POLICY_FETCH_ERROR,
    RESULT_STS_POLICY_INVALID,
    RESULT_STS_WEBPKI_INVALID,
    RESULT_TYPE_COUNT,
};

/* The registered word, "certificate-expired". */
const char *result_type_name(enum result_type type);

/* What went wrong, for a person: "the certificate has expired". */
const char *result_type_words(enum result_type type);

/* libtlsrpt's number on the wire (201 .. 306); RESULT_TYPE_COUNT never. */
int result_type_code(enum result_type type);

/* The type with this number or word; false if there is none (*type_out untouched). */
bool result_type_from_code(long long code, enum result_type *type_out);
bool result_type_from_name(const char *name, enum result_type *type_out);

#endif
