/* SPDX-License-Identifier: MIT */
/*
 * dispatch.h - deliver what is due: one loop for mail and HTTPS, which start together and share nothing but the time.
 *
 * Out:    every delivery that was started has a result in the ledger when dispatch returns; what was not started stays
 *         due, except what has expired or is over a budget.
 * Limits: WINDOW rows of each kind in memory, however many are due; run_limit and END_MS for the whole.
 */
#ifndef GENERATE_DISPATCH_H
#define GENERATE_DISPATCH_H

#include "delivery.h"

/* Statuses of the ledger and the transports; one transport's failure does not stop the other. */
MUST_CHECK enum status dispatch(struct generator *generator, struct delivery_totals *totals, struct err *err);

#endif
