/* artifact_file.h - an artifact's bytes as data: is this file one, where are its sections, is every
 * byte as it was written.
 *
 * Nothing here runs or maps code of the file; hostile bytes are expected.  Layout: runtime/abi.h
 * and docs/ARTIFACT.md.  Three depths of checking: rt_header_check   the header's checksum and the
 * section table rt_data_check     the same in an artifact that the dynamic loader has mapped, and
 * that its file was not cut off rt_file_open      the same for a file, found through its ELF
 * headers; then rt_file_check: every byte False: *why says what is wrong (rt_damage_text makes a
 * line of it).  No allocation, no printing.
 */
#ifndef P4C_RUNTIME_ARTIFACT_FILE_H
#define P4C_RUNTIME_ARTIFACT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/abi.h"

typedef enum rt_damage_kind {
#define DAMAGE(name, text) DAMAGE_##name,
#include "runtime/damage.def"
#undef DAMAGE
} rt_damage_kind;

typedef struct rt_damage {
    rt_damage_kind kind;
    char section[16];         /* "" where it is no section's */
    uint64_t found, expected; /* bytes or numbers; both 0 where there are none.  DAMAGE_read: found
                                 is errno */
} rt_damage;

/* "section weights: the checksum differs", "the file is cut off (found 10, expected 20)"; always
 * terminated. */
void rt_damage_text(const rt_damage *why, char *out, size_t n_out);

typedef struct rt_file {
    const uint8_t *at; /* all bytes of the file, or NULL: read through fd */
    int fd;
    uint64_t n_bytes;     /* of the file */
    uint64_t data_offset; /* of the data segment in the file, a multiple of RT_DATA_ALIGN */
    rt_header header;     /* checked */
} rt_file;

/* `at` must stay readable, `fd` open (a regular file, read by position), as long as *f is used. */
__attribute__((warn_unused_result)) bool rt_file_open_bytes(rt_file *f, const void *at,
                                                            uint64_t n_bytes, rt_damage *why);
__attribute__((warn_unused_result)) bool rt_file_open_fd(rt_file *f, int fd, rt_damage *why);

/* NULL where there is none of that name. */
const rt_section *rt_section_find(const rt_header *h, const char *name);
/* Where a section's first byte stands in the file. */
uint64_t rt_file_offset(const rt_file *f, const rt_section *s);
/* Copies n bytes of a section, from `offset` in it; the range must be inside. */
__attribute__((warn_unused_result)) bool rt_file_read(const rt_file *f, const rt_section *s,
                                                      uint64_t offset, void *out, size_t n,
                                                      rt_damage *why);

/* Told every MiB or so; false ends the check with DAMAGE_read, found EINTR. */
typedef bool rt_progress_fn(void *context, uint64_t done_bytes, uint64_t total_bytes);
/* Compares every byte of the file with the checksums.  `progress` may be NULL. */
__attribute__((warn_unused_result)) bool rt_file_check(const rt_file *f, rt_progress_fn *progress,
                                                       void *context, rt_damage *why);

/* page: RT_HEADER_BYTES, as they stand in the file. */
__attribute__((warn_unused_result)) bool rt_header_check(const void *page, rt_damage *why);
/* data: first byte of the mapped segment (p4c_data).  Survives a file that ends early. */
__attribute__((warn_unused_result)) bool rt_data_check(const void *data, rt_damage *why);

#endif
