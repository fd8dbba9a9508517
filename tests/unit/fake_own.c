/* fake_own.c - the data segment that a test program has as an artifact.  runtime/abi.h, which is
 * not included here, declares it read-only; tests fill it before anything reads it. */
#include <stdint.h>

enum { OWN_BYTES = (2 << 20) + (64 << 10) }; /* FAKE_DATA_BYTES */

extern uint8_t p4c_data[OWN_BYTES];
uint8_t *fake_own_data(void);

uint8_t p4c_data[OWN_BYTES] __attribute__((aligned(4096), visibility("hidden")));
uint8_t *fake_own_data(void) { return p4c_data; }
