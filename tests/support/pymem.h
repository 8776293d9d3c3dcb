/*
 * Failing allocations of Python's, as wsgi__mem_fail_nth() does for ours.
 *
 * The domains mem and object; raw is not asked by extension code.  For one
 * thread, with the GIL held, after python_start().
 */
#ifndef SUPPORT_PYMEM_H
#define SUPPORT_PYMEM_H

#include <stdbool.h>

/* The n-th allocation from now (1 is the next) fails, once. */
void pymem_fail_nth(long n);

/* No more failures.  Whether the n-th was reached. */
bool pymem_stop(void);

#endif
