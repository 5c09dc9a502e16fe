/* SPDX-License-Identifier: MIT */
/*
 * smtp_worker.h - one SMTP session in a process of its own, which tlsrpt-gen starts.
 *
 * In:  frames of deliver/smtp_wire.h on standard input: settings, messages, "go".
 * Out: frames on standard output: progress, one result for each message, the session's end.
 * It reads no settings and writes no log.  It dies with its parent, which kills it when it takes too long.
 */
#ifndef SMTPWORKER_SMTP_WORKER_H
#define SMTPWORKER_SMTP_WORKER_H

/* Once per process.  Returns 0, or EXIT_DATA (the input is broken) or EXIT_SYSTEM of program.h. */
int smtp_worker_run(void);

#endif
