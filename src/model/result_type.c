/* SPDX-License-Identifier: MIT */
#include "model/result_type.h"

#include <string.h>

static const struct {
    int code;
    const char *name;
    const char *words;
} TYPES[RESULT_TYPE_COUNT] = {
    [RESULT_STARTTLS_NOT_SUPPORTED] = {201, "starttls-not-supported", "the server did not offer STARTTLS"},
    [RESULT_CERTIFICATE_HOST_MISMATCH] = {202, "certificate-host-mismatch",
                                          "the certificate is for another host name"},
    [RESULT_CERTIFICATE_EXPIRED] = {204, "certificate-expired", "the certificate has expired"},
    [RESULT_CERTIFICATE_NOT_TRUSTED] =
        {203, "certificate-not-trusted",
         "the certificate is not issued by a trusted authority or TLSA record"},
    [RESULT_VALIDATION_FAILURE] = {205, "validation-failure",
                                   "the TLS session could not be set up or validated"},
    [RESULT_TLSA_INVALID] = {304, "tlsa-invalid", "none of the TLSA records is usable"},
    [RESULT_DNSSEC_INVALID] = {305, "dnssec-invalid", "DNSSEC validation of the TLSA records failed"},
    [RESULT_DANE_REQUIRED] = {306, "dane-required",
                              "DANE is required here but there is no usable TLSA record"},
    [RESULT_STS_POLICY_FETCH_ERROR] = {301, "sts-policy-fetch-error",
                                       "the MTA-STS policy could not be fetched"},
    [RESULT_STS_POLICY_INVALID] = {302, "sts-policy-invalid", "the MTA-STS policy is not valid"},
    [RESULT_STS_WEBPKI_INVALID] = {303, "sts-webpki-invalid",
                                   "the certificate of the MTA-STS policy host is not valid"},
};

const char *result_type_name(enum result_type type)
{
    return TYPES[type].name;
}

const char *result_type_words(enum result_type type)
{
    return TYPES[type].words;
}

int result_type_code(enum result_type type)
{
    return TYPES[type].code;
}

bool result_type_from_code(long long code, enum result_type *type_out)
{
    for (int type = 0; type < RESULT_TYPE_COUNT; type++)
        if (TYPES[type].code == code) {
            *type_out = (enum result_type)type;
            return true;
        }
    return false;
}

bool result_type_from_name(const char *name, enum result_type *type_out)
{
    for (int type = 0; type < RESULT_TYPE_COUNT; type++)
        if (strcmp(TYPES[type].name, name) == 0) {
            *type_out = (enum result_type)type;
            return true;
        }
    return false;
}
