/* payload.h - the runtime and the programs of app/ as p4c carries them: a relocatable object for
 * each target, linked into every artifact.
 */
#ifndef P4C_CODEGEN_ARTIFACT_PAYLOAD_H
#define P4C_CODEGEN_ARTIFACT_PAYLOAD_H

#include "codegen/artifact/artifact.h"

/* The object for this triple; false: this p4c was built without one. */
bool art_payload_find(const char *triple, art_bytes *out);
/* The triple of the machine that p4c was built on. */
const char *art_payload_default(void);

#endif
