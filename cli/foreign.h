/* Options of other servers, which fingers know: what to write instead. */
#ifndef WSGID_FOREIGN_H
#define WSGID_FOREIGN_H

/* For a name without its dashes, of one letter or more: a clause, or NULL. */
const char *foreign_remedy(const char *name);

#endif
