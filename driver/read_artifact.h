/* read_artifact.h - an artifact as data: no code of it runs. */
#ifndef P4C_DRIVER_READ_ARTIFACT_H
#define P4C_DRIVER_READ_ARTIFACT_H

#include "base/diag.h"
#include "base/str.h"
#include "base/util.h"
#include "runtime/artifact_file.h"

/* Opens and checks header and section table.  False: reported.  Release with close_artifact. */
P4C_CHECKED bool read_artifact(const char *path, arena *mem, diag *d, rt_file **out);
/* A whole section, 64-byte aligned, with a NUL behind it; empty where there is none of that name.
 */
P4C_CHECKED bool read_section(const rt_file *f, const char *path, const char *name, arena *mem,
                              diag *d, str *out);
void close_artifact(rt_file *f);

#endif
