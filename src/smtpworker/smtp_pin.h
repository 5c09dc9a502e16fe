/* SPDX-License-Identifier: MIT */
/*
 * smtp_pin.h - let every name lookup of this process answer with one address that was checked before.
 *
 * libesmtp resolves the server's name itself, which would let the answer change between check and use, and it
 * cuts IPv6 literals at their first colon.  So the worker has its own getaddrinfo, which this process's
 * libraries find before the C library's: it looks up the pinned address in place of the name.
 */
#ifndef SMTPWORKER_SMTP_PIN_H
#define SMTPWORKER_SMTP_PIN_H

/* address: numeric text, borrowed for the life of the process; NULL: look names up as usual. */
void smtp_pin_address(const char *address);

#endif
