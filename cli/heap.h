/*
 * How malloc() deals with memory that is free again.
 *
 * A turn of the loop has some dozens of bodies at once, and none after it.
 * The C library gives everything above 128 KiB back to the kernel after each
 * turn, which fills it with zeros for the next one: half the time of uploads.
 */
#ifndef WSGID_HEAP_H
#define WSGID_HEAP_H

/* Up to 16 MiB stay with each of two arenas, behind what is in use in it (the
 * threads share them), and pieces of up to 4 MiB come from there.  Does nothing
 * where the user has tuned malloc() by the environment (mallopt(3),
 * GLIBC_TUNABLES), and with other C libraries.  Call it once, before there are
 * threads; forked processes have the same. */
void heap_keep_free_memory(void);

#endif
