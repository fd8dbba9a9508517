/* machine.h - what this machine can do at best, measured, for `bench`: time, memory, read
 * bandwidth, dot products. */
#ifndef P4C_APP_MACHINE_H
#define P4C_APP_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

uint64_t machine_ns(void); /* a clock that only goes forward */

/* Bytes, 0 where /proc does not say. */
uint64_t machine_anon_bytes(void);      /* anonymous memory of this process now */
uint64_t machine_peak_bytes(void);      /* resident memory of this process at most so far */
uint64_t machine_available_bytes(void); /* memory that the system could still give */

typedef enum machine_dot { DOT_INT8, DOT_BF16, DOT_F32, DOT_COUNT } machine_dot;

/* Best of several rounds, with n_threads threads pinned to the CPUs that the process may use. */
typedef struct machine_limits {
    double read_gb_s;            /* one stream a thread over read_bytes in all */
    double gmac_s[DOT_COUNT];    /* multiply-adds of the fastest instruction of each kind */
    const char *name[DOT_COUNT]; /* that instruction */
    uint64_t read_bytes;
} machine_limits;

/* Measures for about `rounds` * 0.4 s and keeps the better of *limits (zeroed before the first
 * call) and now. read_bytes: size of the buffer, as large as what a model reads for a token; less
 * where memory is scarce. False: no memory or no threads. */
bool machine_measure(int n_threads, uint64_t read_bytes, int rounds, machine_limits *limits);

#endif
